"""No flipped bit of a checkpoint is used: each record of its zip file has a checksum."""

import os

import pytest
import torch

import toy
from lightpaff_fairseq.checkpoints.integrity import corruption, newest_intact
from lightpaff_fairseq.checkpoints.reading import read_checkpoint
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface.hf_weights import check_weights, load_tensors

STATE = {"model": {"w": torch.arange(40.0)}, "cfg": {"model": {"_name": "x"}}, "n": 7}


def flip(source, position, target):
    """Write a copy in which one bit differs."""
    content = bytearray(source.read_bytes())
    content[position] ^= 1 << (position % 8)
    target.write_bytes(content)
    return target


def same(loaded):
    tensors = loaded.get("model", {})
    return str(loaded) == str(STATE) and torch.equal(tensors["w"], STATE["model"]["w"])


def tensor_byte(path):
    """Return where the middle of the largest tensor lies, which nothing else would notice."""
    largest = max(torch.load(path, map_location="cpu")["model"].values(), key=torch.numel)
    content = largest.numpy().tobytes()
    return path.read_bytes().index(content) + len(content) // 2


@pytest.mark.slow
def test_a_flip_of_any_byte_is_noticed_or_changes_nothing(tmp_path):
    torch.save(STATE, tmp_path / "x.pt")
    assert corruption(tmp_path / "x.pt") is None
    size, noticed = (tmp_path / "x.pt").stat().st_size, 0
    for position in range(size):
        path = flip(tmp_path / "x.pt", position, tmp_path / f"{position}.pt")
        if corruption(path):
            noticed += 1
            continue
        try:
            loaded = torch.load(path)
        except Exception:  # torch notices
            noticed += 1
        else:
            assert same(loaded), position
    assert noticed > size / 3, "the rest is padding, dates and the like"


def test_a_file_that_was_cut_is_noticed(tmp_path):
    torch.save(STATE, tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()
    for size in range(0, len(content), 7):
        path = tmp_path / f"{size}.pt"
        path.write_bytes(content[:size])
        assert corruption(path) or size < 4, size


def test_old_files_have_no_checksums(tmp_path):
    path = tmp_path / "old.pt"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    assert corruption(path) is None and same(torch.load(path))
    assert corruption(flip(path, tensor_byte(path), tmp_path / "flipped.pt")) is None


def test_a_change_is_seen_again(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(STATE, path)
    assert corruption(path) is None
    flipped = flip(path, tensor_byte(path), tmp_path / "flipped.pt")
    flipped.replace(path)
    assert "CRC-32" in corruption(path)


def test_the_newest_intact_checkpoint(tmp_path):
    last = tmp_path / "checkpoint_last.pt"
    assert newest_intact(last) is None
    for age, name in enumerate(("checkpoint3.pt", "checkpoint2.pt", "checkpoint1.pt", "other.pt")):
        torch.save(STATE, tmp_path / name)
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    last.write_bytes(b"")
    assert newest_intact(last) == tmp_path / "checkpoint3.pt"
    flip(tmp_path / "checkpoint3.pt", 900, tmp_path / "checkpoint3.pt")
    (tmp_path / "checkpoint3.pt").write_bytes((tmp_path / "checkpoint1.pt").read_bytes()[:-1])
    os.utime(tmp_path / "checkpoint3.pt", (10**9, 10**9))
    assert newest_intact(last) == tmp_path / "checkpoint2.pt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the flags of a training, and its folder of checkpoints of two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    data = toy.write_parallel(folder / "data")
    argv = (data, "--task", "translation", "--arch", "transformer_mass_tiny", "--lr", 0.01)
    argv += ("--max-tokens", 100, "--max-epoch", 2, "--save-dir")
    toy.train(*argv, folder / "run")
    return argv, folder / "run"


@pytest.fixture
def flipped(trained, tmp_path):
    """Return the last checkpoint with a flipped bit in a tensor, beside the others."""
    for path in trained[1].glob("*.pt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    last = tmp_path / "checkpoint_last.pt"
    return flip(last, tensor_byte(last), last)


def test_commands_and_teachers_refuse_a_flipped_bit(flipped, tmp_path, capsys):
    for flag in ("--path", "--kd-teacher"):
        with pytest.raises(ValueError, match=f"^{flag} {flipped}: corrupt: Bad CRC-32 for file"):
            read_checkpoint(flipped, flag)
    assert main(["strip", "--path", str(flipped), "--out", str(tmp_path / "out.pt")]) == 2
    assert f"--path {flipped}: corrupt: Bad CRC-32" in capsys.readouterr().err
    with pytest.raises(ValueError, match=f"--from mass {flipped}: corrupt: Bad CRC-32"):
        load_tensors(flipped, "--from mass")


@pytest.mark.slow
def test_a_student_is_not_resumed_and_the_newest_intact_checkpoint_is_named(trained, flipped):
    folder = flipped.parent
    os.utime(folder / "checkpoint2.pt", (2**31, 2**31))
    with pytest.raises(ValueError) as caught:
        toy.train(*trained[0], folder)
    start, _, end = str(caught.value).partition("; ")
    assert start.startswith(f"--restore-file {flipped}: corrupt: Bad CRC-32 for file")
    assert end.endswith(f"with --restore-file {folder / 'checkpoint2.pt'}")
    toy.train(*trained[0], folder, "--restore-file", folder / "checkpoint2.pt", "--max-epoch", 3)
    assert toy.checkpoint(flipped)["extra_state"]["train_iterator"]["epoch"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00", b"something else"], ids=len)
def test_what_is_no_checkpoint_is_one_error(trained, flipped, content):
    flipped.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"--restore-file {flipped}: .* resume once from the newest"
    ):
        toy.train(*trained[0], flipped.parent)


def test_a_model_to_start_from_is_checked(trained, flipped, tmp_path):
    flags = (tmp_path / "next", "--finetune-from-model", flipped)
    with pytest.raises(ValueError, match=f"--finetune-from-model {flipped}: corrupt: Bad CRC-32"):
        toy.train(*trained[0], *flags)


@pytest.mark.hf
def test_weights_of_hugging_face_folders(tmp_path):
    """A .bin has checksums; safetensors have sizes only."""
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "model.safetensors"
    safetensors.save_file({"w": torch.arange(40.0)}, path)
    content = path.read_bytes()
    check_weights(tmp_path)
    for damaged in (content[:-1], content + b"x", content[:20], b"\xff" + content[1:], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.safetensors: corrupt"):
            check_weights(tmp_path)
    path.unlink()
    torch.save({"model": STATE["model"]}, tmp_path / "x.pt")
    check_bin = tmp_path / "pytorch_model.bin"
    flip(tmp_path / "x.pt", tensor_byte(tmp_path / "x.pt"), check_bin)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: corrupt: Bad CRC-32"):
        check_weights(tmp_path)
