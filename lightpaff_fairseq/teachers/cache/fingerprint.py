"""Fingerprints of a cache's data: everything that determines the teacher's input, as JSON.

Fingerprints are stored and compared, so their names and values must never change. Flags that only
change speed, padding or validation are left out, and so is the seed unless it chooses masks: one
cache serves students of many seeds. Changes that neither flags nor sizes reveal are detected per
sample, by `text_checksums`.
"""

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from fairseq.tasks import TASK_DATACLASS_REGISTRY, FairseqTask
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from ...checkpoints.strip import PRUNABLE
from ...protocols import Prediction, Sample

# Flags of the supported tasks that do not change a sample's text or labels.
IRRELEVANT = (
    "_name data source_lang target_lang train_subset dataset_impl data_buffer_size tpu "
    "use_plasma_view plasma_path batch_size batch_size_valid pad_to_fixed_length pad_to_fixed_bsz "
    "num_batch_buckets required_seq_len_multiple required_batch_size_multiple left_pad_source "
    "left_pad_target max_source_positions max_target_positions no_shuffle report_accuracy "
    "combine_valid_subsets skip_masking"
).split()
READ_BYTES, ROWS = 2**20, 2**16  # at a time


def data_fingerprint(task: FairseqTask, split: str, prediction: Prediction) -> dict[str, Any]:
    """Return all JSON entries that must be the same for the cache and the training run.

    Args:
        task: with `split` loaded.
        split: name of the split.
        prediction: of the criterion; determines the predicted positions.
    """
    entries = split_fingerprint(task, split)
    entries["--ignore-prefix-size"] = prediction.ignore_prefix_size
    return entries | task_flags(task, masks=prediction.masks_differ_by_epoch)


def split_fingerprint(task: FairseqTask, split: str) -> dict[str, Any]:
    """Return the sizes of all samples of a loaded split, and digests of the dictionaries."""
    sizes, checksum = sample_sizes(task.dataset(split)), 0
    for first in range(0, len(sizes), ROWS):  # a copy of all would take 16 bytes per sample
        part = np.ascontiguousarray(sizes[first : first + ROWS], dtype=np.int64)
        checksum = zlib.crc32(part.tobytes(), checksum)
    entries: dict[str, Any] = {
        "split": split,
        "samples": len(sizes),
        "tokens": int(sizes.sum(dtype=np.int64)),
        "checksum of the samples' sizes": checksum,
    }
    for side in ("source", "target", "label"):
        dictionary = getattr(task, f"{side}_dictionary", None)
        if isinstance(dictionary, Dictionary):
            digest = hashlib.sha256("\n".join(dictionary.symbols).encode()).hexdigest()[:16]
            entries[f"{side} dictionary"] = f"{len(dictionary)} symbols, {digest}"
    return entries


def task_flags(task: FairseqTask, masks: bool) -> dict[str, Any]:
    """Return the task's name, and those of its flags that change a sample.

    A prunable task gets name and flags of the task that it extends, since the samples are the same.

    Args:
        task: without a dataclass it is identified by the name of its class only.
        masks: true if the seed chooses masks.
    """
    cfg = getattr(task, "cfg", None) or getattr(task, "args", None)
    if not OmegaConf.is_config(cfg):
        return {"--task": type(task).__name__}
    values: Mapping[Any, Any] = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)  # type: ignore[assignment]
    ignored = {*IRRELEVANT, *(() if masks else ("seed",))}
    task_name = str(values.get("_name", type(task).__name__))
    if task_name.startswith(PRUNABLE):
        task_name = task_name.removeprefix(PRUNABLE)
        ignored |= values.keys() - TASK_DATACLASS_REGISTRY[task_name].__dataclass_fields__.keys()
    kept = {
        f"--{str(name).replace('_', '-')}": value
        for name, value in values.items()
        if name not in ignored and not str(name).startswith("eval_")
    }
    return {"--task": task_name, **kept}


def sample_sizes(dataset: Any) -> NDArray[Any]:
    """Return `(samples,)` or `(samples, 2)` numbers of tokens of any fairseq dataset."""
    sizes = np.asarray(dataset.sizes)
    return sizes if len(sizes) == len(dataset) else sizes.T


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def text_checksums(sample: Sample, pad: int, labels: Tensor | None) -> list[int]:
    """Return a CRC-32 per sample of the model's input and the labels, without padding.

    Args:
        sample: a batch of fairseq, of B samples; pad: index of padding.
        labels: `(B, T)` bool, the positions of the labels; None if the teacher's output does not
            depend on labels.
    """
    tokens = sample["net_input"]["src_tokens"].cpu()
    checksums = _row_checksums(tokens, tokens.ne(pad), [0] * len(tokens))
    if labels is None:
        return checksums
    return _row_checksums(sample["target"].cpu(), labels.cpu(), checksums)


def _row_checksums(values: Tensor, chosen: Tensor, start: list[int]) -> list[int]:
    rows = zip(values.numpy().astype(np.int32), chosen.numpy(), start, strict=True)
    return [zlib.crc32(row[mask].tobytes(), checksum) for row, mask, checksum in rows]
