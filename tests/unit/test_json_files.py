"""JSON that is damaged or forged is a ValueError that names the file, whatever is in it."""

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest

from lightpaff_fairseq.json_files import DEEPEST, object_as, parse_json, read_json, value_as


@dataclass(frozen=True)
class Inner:
    name: str
    share: float


@dataclass(frozen=True)
class Outer:
    inner: Inner
    numbers: list[int]
    rest: dict[str, Any]
    limit: int | None
    is_on: bool = False


OUTER = {"inner": {"name": "a", "share": 1}, "numbers": [1], "rest": {"x": [None]}, "limit": None}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2), "nested deeper"),
        (b'{"a":\n 1', "line 2, column 3: not JSON"),
        (b"", "not JSON"),
        (b"\xff", "expected UTF-8"),
        (b'{"a": "\\ud800"}', "is not Unicode"),
        (b'{"\\ud800": 1}', "is not Unicode"),
    ],
)
def test_what_is_not_json_names_its_file(content, words, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("path", ["no.json", "."])
def test_a_file_that_cannot_be_read(path, tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_json(tmp_path / path)


def test_numbers_of_any_size_are_numbers():
    small = [0, -5, 2**63 - 1, 1.5]
    assert parse_json(json.dumps(small)) == small
    text = "[1e999, -1e999, " + "9" * 5000 + ", 9223372036854775808]"
    large = parse_json(text)
    assert large == [math.inf, -math.inf, math.inf, 2.0**63]
    assert all(isinstance(x, float) for x in large)


def test_lines_are_counted_from_the_first_one_given():
    with pytest.raises(ValueError, match="line 7, column 1"):
        parse_json("x", line=7)


def test_what_is_right_comes_back_as_a_dataclass():
    assert object_as(Outer, OUTER) == Outer(Inner("a", 1), [1], {"x": [None]}, None)
    assert value_as(dict[str, str], {"a": "b"}, "x") == {"a": "b"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inner": [1]}, "inner: expected an object, got [1]"),
        ({"inner": {"name": "a"}}, "inner.share: missing"),
        ({"inner": {"name": 3, "share": 1}}, "inner.name: expected text, got 3"),
        ({"inner": {"name": "a", "share": "x" * 99}}, "inner.share: expected a number"),
        ({"numbers": "123"}, 'numbers: expected a list, got "123"'),
        ({"numbers": [1, 2.5]}, "numbers[1]: expected an integer, got 2.5"),
        ({"numbers": [True]}, "numbers[0]: expected an integer, got true"),
        ({"limit": {}}, "limit: expected an integer, got {}"),
        ({"rest": None}, "rest: expected an object, got null"),
        ({"is_on": 1}, "is_on: expected true or false, got 1"),
        ({"more": 1}, "more: unknown"),
    ],
)
def test_another_kind_is_named(change, words):
    with pytest.raises(ValueError) as caught:
        object_as(Outer, OUTER | change)
    assert str(caught.value).startswith(words) and len(str(caught.value)) < 100
