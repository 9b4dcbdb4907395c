"""Two runs never train into one folder."""

import os
import signal

import pytest

from lightpaff_fairseq.checkpoints.save_dir_lock import LOCK, lock_save_dir


def other_process(folder):
    """Start a process that locks a folder and keeps it; return its number."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            lock_save_dir(folder)
            os.write(write, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.close(read)
    return child


def test_a_second_run_is_refused_until_the_first_has_ended_even_by_a_kill(tmp_path):
    child = other_process(tmp_path)
    with pytest.raises(
        ValueError, match=f"--save-dir {tmp_path}: another run .*process {child} on"
    ):
        lock_save_dir(tmp_path)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    lock_save_dir(elsewhere)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lock_save_dir(tmp_path)
    lock_save_dir(tmp_path)  # a further training of this process
    assert f"process {os.getpid()} on" in (tmp_path / LOCK).read_text()
    child = other_process(elsewhere)  # free again: this process trains into one folder at a time
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
