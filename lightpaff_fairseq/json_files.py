"""Read JSON files that may be damaged or forged: any fault is a ValueError that names the place."""

import dataclasses
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

DEEPEST = 50  # levels of nesting; the plug-in's own files have at most 6
KINDS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "an object",
}
T = TypeVar("T")


def read_json(path: Path) -> Any:
    """Read a file of UTF-8 JSON; see `parse_json`.

    Raises:
        ValueError: names the file and the fault.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: corrupt: expected UTF-8, got {error.reason}") from error
    except ValueError as error:
        raise ValueError(f"{path}: corrupt: {error}") from error


def parse_json(text: str, line: int = 1) -> Any:
    """Parse JSON; numbers beyond 64 bits become floats, and beyond those infinite.

    Args:
        line: number of the first line of `text` in its file, for messages.
    Raises:
        ValueError: the text is not JSON (with line and column), is nested deeper than `DEEPEST`, or
            has half a character (`"\\ud800"`), which no file can hold.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {line - 1 + error.lineno}, column {error.colno}"
        raise ValueError(f"{place}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from error
    if text.isascii() and "\\u" not in text and text.count("{") + text.count("[") <= DEEPEST:
        return value  # has neither fault; lines of logs are many
    for depth, word in _walk(value):
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels")
        if isinstance(word, str) and not word.isascii():
            try:
                word.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"{word!r} is not Unicode: {error.reason}") from error
    return value


def object_as(kind: type[T], content: Any, name: str = "") -> T:
    """Make a dataclass from a JSON object, by the annotations of its fields.

    Args:
        name: of the object, for messages.
    Raises:
        ValueError: names the first field that is missing, unknown or of another kind.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{name or 'content'}: expected an object, got {_show(content)}")
    hints, prefix = typing.get_type_hints(kind), f"{name}." if name else ""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for word in content:
        if word not in fields:
            raise ValueError(f"{prefix}{word}: unknown")
    for word, field in fields.items():
        if word not in content and field.default is dataclasses.MISSING:
            raise ValueError(f"{prefix}{word}: missing")
    values = {key: value_as(hints[key], value, prefix + key) for key, value in content.items()}
    return kind(**values)


def value_as(hint: Any, value: Any, name: str) -> Any:
    """Return a value if it is of the kind of a type hint; objects become the hint's dataclass.

    Raises:
        ValueError: names the value, what was expected, and what is there.
    """
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return object_as(typing.cast(Any, hint), value, name)
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # X | None
        return None if value is None else value_as(arguments[0], value, name)
    if origin is list:
        if not isinstance(value, list):
            raise ValueError(f"{name}: expected a list, got {_show(value)}")
        return [value_as(arguments[0], x, f"{name}[{i}]") for i, x in enumerate(value)]
    if origin is dict and arguments and isinstance(value, dict):
        return {key: value_as(arguments[1], x, f"{name}.{key}") for key, x in value.items()}
    accepted = (int, float) if origin is float else origin
    if not isinstance(value, accepted) or (isinstance(value, bool) and origin is not bool):
        raise ValueError(f"{name}: expected {KINDS[origin]}, got {_show(value)}")
    return value


def _integer(word: str) -> int | float:
    fits = len(word) <= 20 and -(2**63) <= int(word) < 2**63
    return int(word) if fits else float(word)


def _walk(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield every value and every key, with its depth; of lists of numbers only the list."""
    remaining = [(0, value)]
    while remaining:
        depth, part = remaining.pop()
        yield depth, part
        if depth > DEEPEST:
            return
        if isinstance(part, dict):
            remaining += [(depth, key) for key in part]
            part = part.values()
        elif not isinstance(part, list):
            continue
        remaining += [(depth + 1, x) for x in part if isinstance(x, str | list | dict)]


_DECODER = json.JSONDecoder(parse_int=_integer)


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}..."
