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


def flag(
    help: str,
    default: Any = REQUIRED,
    *,
    name: str | None = None,
    metavar: str | None = None,
    choices: typing.Iterable[Any] | None = None,
    nargs: str | None = None,
) -> Any:
    """Declare one field of a request dataclass as a flag.

    Args:
        help: what `--help` prints; `%(default)s` stands for the default.
        default: the value without the flag; without a default the flag is required.
        name: the flag, where it is not the field's name; without dashes it is positional.
        metavar, choices, nargs: as for `argparse`.
    """
    options = {"metavar": metavar, "choices": choices, "nargs": nargs}
    given = {key: value for key, value in options.items() if value is not None}
    return dataclasses.field(default=default, metadata={"help": help, "name": name, **given})


def add_flags(parser: argparse.ArgumentParser, request: type) -> None:
    """Add a flag for every field of a dataclass that `flag` declares.

    A `bool` field becomes a switch; other values are converted by the field's type.
    """
    hints = typing.get_type_hints(request)
    for field in dataclasses.fields(request):
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


def parse_flags(args: argparse.Namespace, request: type) -> Any:
    """Build the request from parsed arguments."""
    return request(**{f.name: getattr(args, f.name) for f in dataclasses.fields(request)})


def _value_type(hint: Any) -> Any:
    """Return the type of one word on the command line: that of `X | None`, `list[X]` is X."""
    arguments = [x for x in typing.get_args(hint) if x is not types.NoneType]
    return _value_type(arguments[0]) if arguments else hint
