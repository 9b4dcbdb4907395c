"""Datasets that cannot be opened say so once."""

import gc

import pytest
from fairseq.data.indexed_dataset import MMapIndexedDataset

import toy

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("ending", [".idx", ".bin"])
def test_a_missing_file_is_one_error(ending, tmp_path):
    toy.write_split(tmp_path / "train", [[4, 2], [5, 6, 2]])
    assert len(MMapIndexedDataset(str(tmp_path / "train"))) == 2
    (tmp_path / f"train{ending}").unlink()
    with pytest.raises(FileNotFoundError):
        MMapIndexedDataset(str(tmp_path / "train"))
    gc.collect()


def test_opened_files_are_closed(tmp_path):
    toy.write_split(tmp_path / "train", [[4, 2]])
    dataset = MMapIndexedDataset(str(tmp_path / "train"))
    opened = dataset._bin_buffer_mmap._mmap
    assert not opened.closed
    del dataset
    gc.collect()
    assert opened.closed
