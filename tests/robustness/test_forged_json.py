"""JSON that is damaged or forged, with the right checksum where there is one: one clear error.

Values of the right kind in a file without a checksum may be used; no value ends in a traceback.
"""

import json
import random

import pytest

from files_read import AGAIN, FILES, FROM_HF, File, runs
from lightpaff_fairseq.teachers.cache.header import FORMAT

KIND = "forged JSON"
DEEP = 20000
TEXTS = {
    "empty": b"",
    "deep list": b"[" * DEEP,
    "deep object": b'{"a":' * DEEP,
    "closed deep list": b"[" * DEEP + b"]" * DEEP,
    "list": b"[]",
    "object": b"{}",
    "text": b'"x"',
    "number": b"1",
    "null": b"null",
    "not a number": b"NaN",
    "long number": b"1" * 5000,
    "not UTF-8": b'{"\xff": 1}',
    "half a character": b'{"\\ud800": "\\ud800"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "zeros": bytes(100),
}
VALUES = (None, True, -1, 10**30, 1e308, float("inf"), float("nan"), "x", "\ud800", [], [[]], {})
CHECKSUMS = {"cache, plan": FORMAT, "cache, header": FORMAT}
TO_HF = "convert --from fairseq {converted}/model.pt --to hf {out}"
JSON = {
    **{name: FILES[name] for name in ("cache, plan", "cache, header", "hypotheses, plan")},
    "results": FILES["results"],
    "configuration": FILES["configuration"],
    "tokenizer": FILES["tokenizer"],
    "configuration of the tokenizer": File(
        "{roberta}/tokenizer_config.json", f"{FROM_HF} {{roberta}}", False
    ),
    "record of a conversion": File("{converted}/huggingface/lightpaff.json", TO_HF, False),
    "sweep": File("{sweep}/results.jsonl", runs("sweep"), False),
    "base of a sweep": File("{sweep}/base.json", runs("sweep"), False),
    "benchmark": File("{benchmark.parent}/loss.json", runs("benchmark"), False),
}
MOST = {AGAIN: 8, FROM_HF: 30, TO_HF: 30}  # values tried, of slow commands


def places(value, path=()):
    """Paths to all values; of a list only its first item's."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def changed(value, path, new):
    """A copy with one other value."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = changed(value[path[0]], path[1:], new)
    return copied


def forgeries(name, content, most):
    """(what it is, bytes) of forged files, `most` of them with one forged value."""
    yield from TEXTS.items()
    yield "cut", content[: len(content) // 2]
    first = content.splitlines()[0] if name == "sweep" else content
    value = json.loads(first)
    yield "twice", first.replace(b"{", b'{"version": [], ', 1) + content[len(first) :]
    trials = [(path, new) for path in places(value) for new in VALUES]
    for path, new in random.Random(name).sample(trials, min(most, len(trials))):
        forged = changed(value, path, new)
        if name in CHECKSUMS:
            kept = {k: v for k, v in forged.items() if k not in ("format", "version", "checksum")}
            text = CHECKSUMS[name].encode(kept) if path[0] in kept else json.dumps(forged)
        else:
            text = json.dumps(forged)
        yield f"{'.'.join(map(str, path))} = {new!r}", text.encode() + content[len(first) :]


@pytest.mark.parametrize("name", JSON)
def test_forged_json(name, inputs, tally, tmp_path):
    file = JSON[name]
    expected = file.read(inputs, tmp_path / "work")
    assert expected.result and not expected.problem
    path = file.find(inputs)
    content = path.read_bytes()
    limits = [n for start, n in MOST.items() if str(file.use).startswith(start)]
    most = limits[0] if limits else 150
    for what, forged in forgeries(name, content, most):
        path.write_bytes(forged)
        reading = file.read(inputs, tmp_path / "work")
        outcome, problem = reading.outcome(expected.result), reading.problem
        if outcome == "read as other values" and file.sealed:
            problem = "other values, silently"
        tally.add(outcome, problem and f"{path.name}, {what}: {problem}")
    path.write_bytes(content)
