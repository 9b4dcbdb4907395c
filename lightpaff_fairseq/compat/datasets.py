"""Datasets that cannot be opened."""

from collections.abc import Callable
from typing import Any

from fairseq.data.indexed_dataset import MMapIndexedDataset

from .patching import patch


@patch(MMapIndexedDataset, "__del__")
def close_opened_data(original: Callable[[Any], None], dataset: Any) -> None:
    """Close a dataset only if it was opened.

    Where it was not, as it is missing or corrupt, fairseq fails once more when it is deleted, and
    Python prints that traceback after the error message.
    """
    if hasattr(dataset, "_bin_buffer_mmap"):
        original(dataset)


@patch(MMapIndexedDataset.Index, "__del__")
def close_opened_index(original: Callable[[Any], None], index: Any) -> None:
    """Close an index only if it was opened, see `close_opened_data`."""
    if hasattr(index, "_bin_buffer_mmap"):
        original(index)
