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
import types
import typing
from typing import Any

REQUIRED = dataclasses.MISSING
Request = typing.TypeVar("Request")


def flag(help: str, default: Any = REQUIRED, *, name: str | None = None, **options: Any) -> Any:
    """Declare one field of a request dataclass as a flag.

    Args:
        help: what `--help` prints; `%(default)s` stands for the default.
        default: the value without the flag; without a default the flag is required.
        name: the flag, where it is not the field's name; without dashes it is positional.
        options: metavar, choices, nargs, action of `argparse`.
    """
    return dataclasses.field(default=default, metadata={"help": help, "name": name, **options})


def add_flags(parser: argparse._ActionsContainer, request: type) -> None:
    """Add a flag for every field of a dataclass that `flag` declares, to a parser or a group of it.

    A `bool` field becomes a switch; other values are converted by the field's type.
    """
    hints = typing.get_type_hints(request)
    for field in _flags_of(request):
        options = dict(field.metadata)
        name = options.pop("name", None) or f"--{field.name.replace('_', '-')}"
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
            options["type"] = kind
        parser.add_argument(name, **options)


def parse_flags(args: argparse.Namespace, request: type[Request]) -> Request:
    """Build the request from parsed arguments; fields that are no flags keep their defaults."""
    return request(**{field.name: getattr(args, field.name) for field in _flags_of(request)})


def too_small(request: Any, **lowest: float) -> list[str]:
    """Return a message for every flag below its lowest value, by the name of its field."""
    values = {name: getattr(request, name) for name in lowest}
    return [
        f"--{name.replace('_', '-')} {value}: expected {lowest[name]} or more"
        for name, value in values.items()
        if not value >= lowest[name]
    ]


def _flags_of(request: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(request) if "help" in field.metadata]


def _value_type(hint: Any) -> Any:
    """Return the type of one word on the command line: that of `X | None`, `list[X]` is X."""
    arguments = [x for x in typing.get_args(hint) if x is not types.NoneType]
    return _value_type(arguments[0]) if arguments else hint
