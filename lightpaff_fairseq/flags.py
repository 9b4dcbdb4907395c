"""Flags of a sub-command, declared once: as the fields of its request dataclass.

    @dataclass(frozen=True)
    class StripRequest:
        path: Path = flag("fairseq checkpoint to read", metavar="FILE")
        force: bool = flag("overwrite --out (default: refuse)", default=False)

    add_flags(parser, StripRequest)                      # --path FILE, required; --force
    request = parse_flags(parser.parse_args(), StripRequest)

fairseq's own `gen_parser_from_dataclass` knows neither metavars nor positional arguments nor lists
of words, and needs fairseq; `--help` of a command should not wait for that import.
"""

import argparse
import dataclasses
import math
import types
import typing
from typing import Any

REQUIRED = dataclasses.MISSING
Request = typing.TypeVar("Request")
LARGEST = 2**31 - 1  # whole number that every library takes
EMPTY = "expected a value, got an empty one (is a shell variable unset?)"
TRAINING_PREFIXES = ("kd_", "prune_", "quantize_weights")  # of the plug-in's flags of fairseq-train


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a flag takes; NaN is in none.

    Attributes:
        words: what messages say is expected.
        low, high: the smallest and the largest number; is_open: without `low` itself.
        also: one more number, which means "off".
    """

    words: str
    low: float
    high: float = LARGEST
    is_open: bool = False
    also: float | None = None

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.is_open else self.low <= value
        return (above and value <= self.high) or value == self.also

    def problem(self, flag: str, value: float) -> str | None:
        """Return why `flag` does not take this number, in words that start with it; or None."""
        if value in self:
            return None
        is_named = f"up to {self.high:g}" in self.words
        is_limit = self.low < self.high < value < math.inf and not is_named
        limit = f", up to {self.high:g}" if is_limit else ""
        return f"{flag} {value}: expected {self.words}{limit}"


def at_least(low: int) -> Range:
    """Return the range of whole numbers from `low` on."""
    return Range(f"{low} or more", low)


def flag(help: str, default: Any = REQUIRED, *, name: str | None = None, **options: Any) -> Any:
    """Declare one field of a dataclass of flags, of a sub-command or for fairseq, as a flag.

    Args:
        help: what `--help` prints; `%(default)s` stands for the default.
        default: the value without the flag; without a default the flag is required.
        name: the flag, where it is not the field's name; without dashes it is positional.
        options: metavar, choices, nargs, action of `argparse`; `expected`, the `Range` that every
            number needs; `may_be_empty=True` for text that may.
    """
    return dataclasses.field(default=default, metadata={"help": help, "name": name, **options})


def add_flags(parser: argparse._ActionsContainer, request: type) -> None:
    """Add a flag for every field of a dataclass that `flag` declares, to a parser or a group of it.

    A `bool` field becomes a switch; other values are converted by the field's type.
    """
    hints = typing.get_type_hints(request)
    for field in _flags_of(request):
        options = dict(field.metadata)
        options.pop("expected", None)
        may_be_empty = options.pop("may_be_empty", False)
        name = options.pop("name", None) or flag_name(field)
        is_positional = not name.startswith("-")
        if not is_positional:
            options["dest"] = field.name
            options["required"] = field.default is REQUIRED
        if field.default is not REQUIRED:
            options["default"] = field.default
        kind = _value_type(hints[field.name])
        if kind is bool:
            options |= {"action": "store_true"}
        else:
            options["type"] = kind if kind in (int, float) or may_be_empty else _not_empty(kind)
        parser.add_argument(name, **options)


def parse_flags(args: argparse.Namespace, request: type[Request]) -> Request:
    """Build the request from parsed arguments; fields that are no flags keep their defaults.

    Its own checks begin with `range_problems`, so that all problems are listed at once.
    """
    return request(**{field.name: getattr(args, field.name) for field in _flags_of(request)})


def range_problems(values: Any, declared: type | None = None) -> list[str]:
    """Return a message for every flag whose number is outside its range.

    Args:
        values: an object with an attribute per flag; None: not given.
        declared: the dataclass that declares the flags; None: that of `values`.
    """
    problems = []
    for field in dataclasses.fields(declared or type(values)):
        expected = field.metadata.get("expected")
        value = None if expected is None else getattr(values, field.name)
        if expected is not None and value is not None:
            problems.append(expected.problem(flag_name(field), value))
    return [problem for problem in problems if problem is not None]


def flag_name(field: dataclasses.Field[Any]) -> str:
    """Return the name of the flag of a field."""
    return field.metadata.get("name") or f"--{field.name.replace('_', '-')}"


def _not_empty(kind: Any) -> Any:
    """Return a conversion that refuses the empty word: Path("") is the current folder."""

    def convert(word: str) -> Any:
        if not word.strip():
            raise argparse.ArgumentTypeError(EMPTY)
        return kind(word)

    convert.__name__ = getattr(kind, "__name__", "value")  # for argparse's messages
    return convert


def _flags_of(request: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(request) if "help" in field.metadata]


def _value_type(hint: Any) -> Any:
    """Return the type of one word on the command line: that of `X | None`, `list[X]` is X."""
    arguments = [x for x in typing.get_args(hint) if x is not types.NoneType]
    return _value_type(arguments[0]) if arguments else hint
