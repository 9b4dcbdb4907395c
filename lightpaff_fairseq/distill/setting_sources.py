"""Merge the sources of settings: a YAML file, flags and `key=value` words, checked at once."""

import dataclasses
import difflib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..data_shards import absolute_shards
from ..flags import flag_name
from ..problems import Problems
from .setting_problems import setting_problems
from .settings import NO, SHARDED, YES, DistillSettings


def merge(
    config: Path | None, given: Mapping[str, Any], overrides: Sequence[str]
) -> DistillSettings:
    """Merge the sources of settings; a later one wins: YAML file, flags, `key=value` words.

    Args:
        given: values of the flags on the command line.
    Raises:
        ValueError: all words and entries that are not settings, or not of their types.
    """
    problems = Problems()
    values = dict(_read_yaml(config) if config else {})
    origin = dict.fromkeys(values, f"--config {config}: ")
    for word in overrides:
        key, equals, text = word.partition("=")
        problems.unless(bool(equals), f"{word!r}: expected key=value")
        if equals:
            origin[key], given = "", {**given, key: _yaml_value(word, text, problems)}
    values |= given
    hints = typing.get_type_hints(DistillSettings)
    for key in values:
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            hint = f"; close to it: {close[0]}" if close else ""
            problems.add(f"{origin.get(key, '')}{key}: no such setting{hint}")
            continue
        try:
            values[key] = _convert(values[key], hints[key])
        except (TypeError, ValueError):
            problems.add(
                f"{origin.get(key, '')}{key}: expected {_kind(hints[key]).__name__}, "
                f"got {values[key]!r}"
            )
    problems.extend(_choice_problems(values))
    problems.raise_if_any()
    settings = DistillSettings(**values)
    setting_problems(settings).raise_if_any()
    return settings


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"--config {path}: expected a YAML file: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"--config {path}: expected lines `name: value`")
    return {key.replace("-", "_"): value for key, value in content.items()}


def _yaml_value(word: str, text: str, problems: Problems) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        problems.add(f"{word!r}: expected key=value with a value of YAML")
        return None


def _kind(hint: Any) -> Any:
    return next((x for x in typing.get_args(hint) if x is not type(None)), hint)


def _convert(value: Any, hint: Any) -> Any:
    """Return a value of a setting's type; YAML reads `1e-3` as text, and numbers as ints."""
    kind = _kind(hint)
    if value is None and kind is not hint:
        return None
    if isinstance(value, bool) and kind is str:  # `cache: no`
        return YES if value else NO
    if isinstance(value, bool) is not (kind is bool) or isinstance(value, list | dict | type(None)):
        raise TypeError
    if kind is int and isinstance(value, float):
        raise TypeError
    return kind(value)


def _choice_problems(values: Mapping[str, Any]) -> list[str]:
    fields = {field.name: field for field in dataclasses.fields(DistillSettings)}
    return [
        f"{flag_name(fields[key])} {value}: expected one of {', '.join(choices)}"
        for key, value in values.items()
        if key in fields
        and (choices := fields[key].metadata.get("choices"))
        and value not in choices
    ]


def absolute_paths(settings: DistillSettings) -> DistillSettings:
    """Return the settings with absolute paths, so that a run continues from any folder."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    paths: dict[str, Any] = {
        key: Path(absolute_shards(value)) if key in SHARDED else value.absolute()
        for key, value in values.items()
        if isinstance(value, Path)
    }
    if settings.init_file:
        paths["init"] = str(settings.init_file.absolute())
    return dataclasses.replace(settings, **paths)


def to_yaml(settings: DistillSettings) -> str:
    """Return a YAML file for `--config` that holds every setting that is not a default."""
    values = {
        field.name: str(value) if isinstance(value, Path) else value
        for field in dataclasses.fields(settings)
        if (value := getattr(settings, field.name)) != field.default
    }
    return str(yaml.safe_dump(values, sort_keys=False))
