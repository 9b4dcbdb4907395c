"""Run fairseq-train in this process and collect the numbers that its validation logs.

Starting one process per run would take longer than a short run itself.
"""

import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fairseq_cli.train
import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.distributed import utils as distributed_utils

BEGIN = "begin validation on"
PARAMETERS = "num. shared model params"
PRUNED = re.compile(r"pruning [\d,]+ parameters to ([\d,]+):")  # logged by the prunable tasks


@dataclass
class Record(logging.Handler):
    """Collect results from fairseq's log (--log-format json).

    Attributes:
        splits: the validation sets to collect.
        results: `{split}_{metric}` of the last validation of each.
        parameters: number of parameters; for a pruned model, after compaction.
        updates_seconds, validation_seconds: total time of all updates, of all validations.
    """

    splits: Sequence[str]
    results: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None
    updates_seconds: float = 0.0
    validation_seconds: float = 0.0
    _began: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(logging.INFO)

    __hash__ = logging.Handler.__hash__  # logging keeps its handlers in sets

    def emit(self, record: logging.LogRecord) -> None:
        """Collect the numbers in one line of the log."""
        text = record.getMessage()
        if text.startswith(BEGIN):
            self._began = time.monotonic()
        elif pruned := PRUNED.match(text):
            self.parameters = int(pruned[1].replace(",", ""))
        elif text.startswith(PARAMETERS) and self.parameters is None:
            self.parameters = int(text.split()[4].replace(",", ""))
        elif record.name in self.splits and text.startswith("{"):
            self.validation_seconds += time.monotonic() - self._began
            self.results |= _numbers(json.loads(text), record.name)
        elif record.name == "train" and text.startswith("{"):  # the end of an epoch
            self.updates_seconds += float(json.loads(text).get("train_train_wall") or 0)


def _numbers(values: dict[str, Any], split: str) -> dict[str, float]:
    """Return the metrics of a split, without the best ones, which fairseq keeps across runs."""
    metrics = {k: v for k, v in values.items() if k.startswith(f"{split}_") and v is not None}
    skip = [f"{split}_{name}" for name in ("num_updates", "wps", "wpb", "bsz", "best_")]
    return {k: float(v) for k, v in metrics.items() if not k.startswith(tuple(skip))}


@contextmanager
def logging_to(path: Path, record: Record) -> Iterator[None]:
    """Send fairseq's log to a file and to `record` only."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    file = logging.FileHandler(path, mode="w", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    root.handlers[:] = [file, record]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        file.close()


def train(flags: Sequence[str], splits: Sequence[str], log: Path) -> dict[str, float]:
    """Run fairseq-train once, without writing a checkpoint.

    Args:
        flags: flags of fairseq-train.
        splits: validation sets, evaluated after the last update.
        log: file for fairseq's log.
    Returns:
        the validation metrics, `parameters`, and the time in seconds: `seconds_updates`,
        `seconds_validation` and `seconds` in total.
    Raises:
        ValueError: the run ended without a result.
    """
    start = time.monotonic()
    never = str(10**9)
    words = [
        *flags,
        *("--valid-subset", ",".join(splits), "--validate-interval", never),
        *("--no-save", "--log-format", "json", "--log-interval", "50"),
        *("--required-batch-size-multiple", "1", "--num-workers", "0"),
    ]
    record = Record(splits)
    with logging_to(log, record):
        parser = options.get_training_parser()
        cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, words))
        if not torch.cuda.is_available():
            cfg.common.cpu = True
        distributed_utils.call_main(cfg, fairseq_cli.train.main)
    missing = [split for split in splits if f"{split}_loss" not in record.results]
    if missing:
        raise ValueError(f"the run ended without validating on {missing}; see {log}")
    return {
        **record.results,
        "parameters": record.parameters or 0,
        "seconds": round(time.monotonic() - start, 2),
        "seconds_updates": round(record.updates_seconds, 2),
        "seconds_validation": round(record.validation_seconds, 2),
    }
