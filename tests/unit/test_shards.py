"""Claiming a folder by a plan, shards of its blocks, what is missing, and progress."""

import json
import os
import signal

import pytest

from lightpaff_fairseq.block_progress import BlockProgress
from lightpaff_fairseq.shards import (
    PLAN,
    Block,
    BlockFolder,
    PlanFormat,
    Shard,
    differences,
    plan_differences,
)

BLOCKS = [Block(f"b{i}.bin", 10 * i, 10) for i in range(5)]
FORMATS = [PlanFormat("a format", has_checksum) for has_checksum in (True, False)]


def folder(path, format=FORMATS[0], **plan):
    return BlockFolder(
        path, "--out", format, {"data": {"split": "train"}, "sizes": (1, 2)} | plan, BLOCKS
    )


@pytest.mark.parametrize("format", FORMATS, ids=["checksum", "none"])
def test_a_plan_is_claimed_once_and_continued_by_the_same_plan_only(tmp_path, format):
    path = tmp_path / "f"
    folder(path, format).check()
    assert not path.exists()
    folder(path, format).claim()
    text = (path / PLAN).read_text()
    assert list(json.loads(text))[:2] == ["format", "version"]
    assert ("checksum" in json.loads(text)) == format.has_checksum
    folder(path, format).claim()
    assert (path / PLAN).read_text() == text
    with pytest.raises(ValueError) as caught:
        folder(path, format, data={"split": "valid"}, block_size=4).claim()
    message = str(caught.value)
    assert message.startswith(f"--out {path}: the folder was started with other data or flags: ")
    assert (
        "split: train in the folder, valid here; block size: None in the folder, 4 here" in message
    )
    assert (path / PLAN).read_text() == text


@pytest.mark.parametrize("format", FORMATS, ids=["checksum", "none"])
def test_a_plan_comes_back_and_what_is_no_plan_is_refused(tmp_path, format):
    path = tmp_path / "plan.json"
    entries = {"data": {"a": 1}, "sizes": [1, 2]}
    path.write_text(format.encode(entries))
    assert format.read(path) == entries
    text = path.read_text()
    for old, new, words in (
        ("a format", "b format", "expected a file of the format 'a format', got another"),
        ("{", "[", "line 2, column 10: not JSON"),
        ('"version": 1', '"version": 2', "expected version 1, got 2"),
        ('"a": 1', '"a": 2', "corrupt: checksum mismatch"),
    ):
        path.write_text(text.replace(old, new))
        if "corrupt" in words and not format.has_checksum:
            assert format.read(path)["data"] == {"a": 2}
        else:
            with pytest.raises(ValueError, match=words):
                format.read(path)
    with pytest.raises(ValueError, match=r"no.json: cannot be read: .*No such file"):
        format.read(tmp_path / "no.json")


def test_folders_of_something_else_are_left_alone(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for name in ("file", "mine"):
        with pytest.raises(ValueError, match="expected a new folder, or one with a plan.json"):
            folder(tmp_path / name).claim()
    with pytest.raises(ValueError, match="cannot be created"):
        folder(tmp_path / "no" / "such").claim()
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "mine", "thesis.txt"}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_together_are_all_blocks_and_disjoint(count):
    parts = [Shard(count, i).select(BLOCKS) for i in range(count)]
    files = sorted(block.file for part in parts for block in part)
    assert files == [block.file for block in BLOCKS]


@pytest.mark.parametrize(
    "shard,words",
    [
        (Shard(0, 0), "--num-shards 0: expected 1 or more"),
        (Shard(2, 2), "--shard-id 2: expected 0 to 1"),
        (Shard(2, -1), "--shard-id -1: expected 0 to 1"),
        (Shard(2, 1), None),
        (Shard(), None),
    ],
    ids=str,
)
def test_shards_that_do_not_exist(shard, words):
    assert shard.problem() == words


def test_missing_blocks_are_computed_in_order_and_kept_when_one_fails(tmp_path):
    (tmp_path / "b1.bin").write_text("there")
    place, lines, written = folder(tmp_path), [], []
    assert [x.file for x in place.missing(Shard(2, 0))] == ["b0.bin", "b2.bin", "b4.bin"]
    assert [x.file for x in place.missing(Shard(2, 1), lines.append)] == ["b3.bin"]
    assert lines == ["1 of 2 blocks are finished already"]

    def write(path, content):
        written.append(path.name)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        path.write_text(content)

    missing = place.missing()
    progress = BlockProgress("test", [block.count for block in missing], "samples")
    with pytest.raises(ValueError, match="No space left .*; 2 blocks of this run are complete"):
        place.fill(missing, lambda block, _: str(block.first), write, progress)
    assert written == ["b0.bin", "b2.bin", "b3.bin"]
    assert [(tmp_path / name).read_text() for name in written[:2]] == ["0", "20"]
    assert [x.file for x in place.missing()] == ["b3.bin", "b4.bin"]
    assert progress.line.done == 20 and progress.line.total == 40


def test_two_runs_never_compute_one_shard_at_once(tmp_path):
    """The lock ends with its process, even by a kill."""
    place = folder(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with place.only_run(Shard(2, 1)):
            os.write(write, b"x")
            signal.pause()
    assert os.read(read, 1) == b"x"
    words = f"--out {tmp_path}: another run is computing shard 1 of 2 .process {child} on"
    with pytest.raises(ValueError, match=words), place.only_run(Shard(2, 1)):
        pass
    with place.only_run(Shard(2, 0)):
        assert len(list(tmp_path.iterdir())) == 2
    words = f"--num-shards 3: expected 2, as the run that is filling --out {tmp_path} .process"
    with pytest.raises(ValueError, match=words), place.only_run(Shard(3, 0)):
        pass  # its blocks 0 and 3 are those of both
    assert [path.name for path in tmp_path.iterdir()] == ["shard-1-of-2.lock"]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with place.only_run(Shard(3, 0)):  # another number may complete what it has left
        pass
    with place.only_run(Shard(2, 1)):
        pass
    assert not list(tmp_path.iterdir())


def test_differences_name_every_entry_and_not_long_values():
    pair = ({"a": 1, "b": "x" * 300, "same": 0}, {"b": "y", "c": 2, "same": 0})
    expected = ["a: 1 there, None here", "b differs", "c: None there, 2 here"]
    assert differences(*pair, "there") == expected
    assert plan_differences({"sizes": [1]}, {"sizes": (1,)}) == []


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path):
    kept = {"b0.bin", "cache.json.host-1.tmp", "notes.txt"}
    for name in (*kept, "b0.bin.host-1.tmp", "plan.json.host-1.tmp"):
        (tmp_path / name).write_text("")
    folder(tmp_path).remove_temporary_files()
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_progress_counts_finished_blocks_and_the_part_of_the_current_one():
    progress = BlockProgress("test", [40, 60, 100], "sentences")
    amounts = []
    for step in (lambda: progress.advance(10), progress.end_block, lambda: progress.advance(50)):
        step()
        amounts.append(progress.line.done)
    assert amounts == [10, 40, 90] and progress.line.total == 200
