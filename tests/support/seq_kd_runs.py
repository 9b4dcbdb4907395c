"""Run `lightpaff seq-kd` on toy data, and read what it wrote."""

from fairseq.data import data_utils

from cases import CASES
from lightpaff_fairseq.cli.main import main
from message_flags import check_flags

SS = next(c for c in CASES if c.name == "kd_ss")
SEARCH = ("--beam", 3, "--max-len-b", 6, "--max-tokens", 60, "--keep-cut", "--block-size", 8)
CPU = ("--cpu", "--num-workers", 0)
SAMPLING = ("--sampling", "--nbest", 3)
SIDES = ("sv", "en")


def seq_kd(setting, out, *flags, data=None, path=None):
    """Run the command on the CPU; return its exit code."""
    words = ["seq-kd", data or setting.data, "--path", path or setting.path, "--out", out, *CPU]
    return main([str(x) for x in (*words, *SEARCH, *flags)])


def error(setting, out, capsys, *flags, **places):
    """Return the message of a command that is refused before anything is written."""
    capsys.readouterr()
    assert seq_kd(setting, out, *flags, **places) == 2
    assert not out.exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    check_flags("seq-kd", line)
    return line


def lines(folder, split="train"):
    """Return (source, target) of every line, as tuples of tokens."""
    sides = [data_utils.load_indexed_dataset(f"{folder}/{split}.sv-en.{x}", None) for x in SIDES]
    return [tuple(tuple(side[i].tolist()) for side in sides) for i in range(len(sides[0]))]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Killed(BaseException):
    """Not an Exception: nothing may handle it."""
