"""What counts as a full disk; tests/robustness/test_full_disks.py fills it under every command."""

import pytest
import torch

from lightpaff_fairseq.disk_errors import disk_error


def test_what_is_a_full_disk(tmp_path):
    assert disk_error(OSError(28, "No space left on device"))
    assert disk_error(OSError(2, "No such file")) is None
    try:
        try:
            raise OSError(27, "File too large")
        finally:
            raise ValueError("Can't close the ZIP file")
    except ValueError as error:
        assert "File too large" in disk_error(error)
    with pytest.raises(RuntimeError) as caught:
        torch.save({"x": torch.zeros(9)}, "/dev/full")
    assert "is the disk full?" in disk_error(caught.value)
    assert disk_error(RuntimeError("size mismatch")) is None
