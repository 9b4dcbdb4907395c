"""The task `masked_seq2seq`: MASS pre-training on monolingual text.

No postponed annotations here: fairseq reads the types of the flags.
"""

import logging
import math
import os
from dataclasses import dataclass, field
from typing import Any, Optional, Tuple

import numpy as np
from fairseq import utils
from fairseq.data import Dictionary, TokenBlockDataset, data_utils
from fairseq.data.indexed_dataset import get_available_dataset_impl
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.tasks import FairseqTask, register_task
from omegaconf import II, MISSING

from ..flags import Range, at_least, range_problems
from ..problems import Problems
from .masked_seq2seq_dataset import MASK_SYMBOL, Indices, MaskedSeq2SeqDataset, MaskPolicy, Symbols

logger = logging.getLogger(__name__)

BREAK_MODES = ChoiceEnum(["none", "complete", "complete_doc", "eos"])
PLACEMENTS = ChoiceEnum(["uniform", "mass"])


@dataclass
class MaskedSeq2SeqConfig(FairseqDataclass):
    """Flags of `masked_seq2seq`."""

    data: str = field(
        default=MISSING,
        metadata={
            "help": "folder of binarized monolingual text with its dict.txt; several, separated "
            "by colons, are used in turn, one per epoch"
        },
    )
    tokens_per_sample: int = field(
        default=512,
        metadata={
            "help": "tokens per sample; sentences that are longer stay whole unless "
            "--sample-break-mode is none; without effect on --sample-break-mode eos",
            "expected": Range("1 or more tokens", 1),
        },
    )
    sample_break_mode: BREAK_MODES = field(  # type: ignore[valid-type]
        default="complete",
        metadata={
            "help": "none: samples of exactly --tokens-per-sample tokens; complete: of complete "
            "sentences; complete_doc: and within one document; eos: one sentence per sample"
        },
    )
    mask_ratio: float = field(
        default=0.5,
        metadata={
            "help": "part of a sample (of a window) to mask, above 0, up to 1",
            "expected": Range("a number above 0, up to 1", 0, 1, is_open=True),
        },
    )
    mask_window: int = field(
        default=0,
        metadata={
            "help": "mask one fragment in every window of so many tokens; 0 = one fragment per "
            "sample (64: as the released summarization models)",
            "expected": Range("0 (off) to --tokens-per-sample", 0),
        },
    )
    mask_replace: str = field(
        default="0.8,0.1,0.1",
        metadata={
            "help": "what the encoder sees of masked tokens: parts replaced by <mask>, replaced "
            "by a random other symbol, kept; they sum to 1"
        },
    )
    span_placement: PLACEMENTS = field(  # type: ignore[valid-type]
        default="uniform",
        metadata={
            "help": "start of a fragment: uniform, or mass: 20%% at the beginning, 20%% at the "
            "end, else uniform"
        },
    )
    max_source_positions: int = field(
        default=1024, metadata={"help": "tokens that the encoder takes", "expected": at_least(1)}
    )
    max_target_positions: int = field(
        default=1024, metadata={"help": "positions that the decoder takes", "expected": at_least(1)}
    )
    seed: int = II("common.seed")
    train_subset: str = II("dataset.train_subset")
    dataset_impl: Optional[ChoiceEnum(get_available_dataset_impl())] = II(  # type: ignore[valid-type]
        "dataset.dataset_impl"
    )


Shares = Tuple[float, float, float]


def replace_shares(text: str) -> Optional[Shares]:
    """Return the probabilities of --mask-replace, scaled to sum to 1; None if they are invalid."""
    try:
        mask, random, keep = (float(part) for part in text.split(","))
    except ValueError:
        return None
    total = mask + random + keep
    if not min(mask, random, keep) >= 0 or not math.isclose(total, 1, abs_tol=1e-6):
        return None
    return mask / total, random / total, keep / total


def config_problems(cfg: MaskedSeq2SeqConfig) -> Problems:
    """Return a message for every flag out of range."""
    problems, size = Problems(range_problems(cfg, MaskedSeq2SeqConfig)), cfg.tokens_per_sample
    problems.unless(
        replace_shares(cfg.mask_replace) is not None,
        f"--mask-replace {cfg.mask_replace!r}: expected three non-negative numbers that sum to 1 "
        "(mask, random, keep), as 0.8,0.1,0.1",
    )
    problems.unless(
        cfg.mask_window <= size,
        f"--mask-window {cfg.mask_window}: expected 0 (off) to --tokens-per-sample ({size})",
    )
    limits = {"source": cfg.max_source_positions, "target": cfg.max_target_positions}
    for side, limit in limits.items():
        problems.unless(
            str(cfg.sample_break_mode) == "eos" or size <= limit,
            f"--tokens-per-sample {size}: expected at most --max-{side}-positions ({limit})",
        )
    return problems


def dictionary_problem(
    cfg: MaskedSeq2SeqConfig, dictionary: Dictionary, path: str
) -> Optional[str]:
    """Return a message if a dictionary cannot be used for masking."""
    if MASK_SYMBOL not in dictionary.indices:
        return (
            f"{path}: no symbol {MASK_SYMBOL}; append the line '{MASK_SYMBOL} 1' to the "
            "dictionary, then binarize with fairseq-preprocess --srcdict (pre-training and "
            "fine-tuning share this dictionary)"
        )
    shares, ordinary = replace_shares(cfg.mask_replace), Symbols.of(dictionary).ordinary
    if shares is not None and shares[1] > 0 and len(ordinary) < 2:
        return (
            f"--mask-replace {cfg.mask_replace}: random symbols need 2 or more ordinary symbols, "
            f"{path} holds {len(ordinary)}"
        )
    return None


@register_task("masked_seq2seq", dataclass=MaskedSeq2SeqConfig)
class MaskedSeq2SeqTask(FairseqTask):
    """Predict a masked fragment of a text from the rest: MASS, arXiv 1905.02450."""

    cfg: MaskedSeq2SeqConfig

    def __init__(self, cfg: MaskedSeq2SeqConfig, dictionary: Dictionary) -> None:
        super().__init__(cfg)
        self.dictionary = dictionary
        shares = replace_shares(cfg.mask_replace)
        assert shares is not None  # setup_task has checked it
        placement = str(cfg.span_placement)
        self.policy = MaskPolicy(cfg.mask_ratio, cfg.mask_window, shares, placement, cfg.seed)

    @classmethod
    def setup_task(cls, cfg: MaskedSeq2SeqConfig, **kwargs: Any) -> "MaskedSeq2SeqTask":
        """Check every flag, then the dictionary.

        Raises:
            ValueError: lists every flag out of range and what the dictionary lacks.
            FileNotFoundError: no dict.txt in the (first) folder.
        """
        problems = config_problems(cfg)
        path = os.path.join(utils.split_paths(cfg.data)[0], "dict.txt")
        if not os.path.exists(path):
            problems.raise_if_any()
        dictionary = Dictionary.load(path)
        problems.extend([dictionary_problem(cfg, dictionary, path)])
        problems.raise_if_any()
        logger.info(f"dictionary: {len(dictionary)} types")
        return cls(cfg, dictionary)

    def load_dataset(
        self, split: str, epoch: int = 1, combine: bool = False, **kwargs: Any
    ) -> None:
        """Load a split: of folders in turn for training, else of the first.

        Raises:
            FileNotFoundError: there is no such split.
            ValueError: it holds no text.
        """
        folders = utils.split_paths(self.cfg.data)
        if split != self.cfg.train_subset:
            folders = folders[:1]
        path = os.path.join(folders[(epoch - 1) % len(folders)], split)
        text = self._text(path, split, combine)
        blocks, sizes = self._blocks(text)
        if not sizes.any():
            raise ValueError(_empty(split, path))
        self.datasets[split] = MaskedSeq2SeqDataset(
            blocks, sizes, Symbols.of(self.dictionary), self.policy
        )
        logger.info(f"{split}: {len(sizes):,} samples, {sizes.sum():,} tokens from {path}")

    def _text(self, path: str, split: str, combine: bool) -> Any:
        """Return the binarized sentences of a split."""
        if os.path.exists(f"{path}.bin") and os.path.getsize(f"{path}.bin") == 0:
            raise ValueError(_empty(split, path))  # numpy cannot map a file of no bytes
        dataset = data_utils.load_indexed_dataset(
            path, self.dictionary, self.cfg.dataset_impl, combine=combine
        )
        if dataset is None:
            raise FileNotFoundError(f"Dataset not found: {split} ({path})")
        return dataset

    def _blocks(self, text: Any) -> Tuple[Any, Indices]:
        """Cut sentences into samples by --sample-break-mode; return them and their sizes."""
        sizes = np.array(text.sizes, dtype=np.int64)
        mode = str(self.cfg.sample_break_mode)
        if mode == "complete_doc" and sizes.max(initial=0) <= 1:  # nothing but separators
            sizes = np.zeros_like(sizes)
        if mode == "eos" or not sizes.any():  # each sentence is a sample already
            return text, sizes
        blocks = TokenBlockDataset(
            text,
            sizes,
            self.cfg.tokens_per_sample,
            pad=self.dictionary.pad(),
            eos=self.dictionary.eos(),
            break_mode=mode,
        )
        slices = blocks.slice_indices.astype(np.int64)  # its own sizes overflow at 65,536
        return blocks, slices[:, 1] - slices[:, 0]

    def max_positions(self) -> Tuple[int, int]:
        return self.cfg.max_source_positions, self.cfg.max_target_positions

    @property
    def source_dictionary(self) -> Dictionary:
        return self.dictionary

    @property
    def target_dictionary(self) -> Dictionary:
        return self.dictionary


def _empty(split: str, path: str) -> str:
    return f"the corpus is empty: split {split!r} at {path} holds no text"
