"""Batches for comparing models: of a split, or of random tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.data.data_utils import collate_tokens
from torch import Tensor

from ..models.sentence_embeddings import split_sentences
from .loaded_model import CLASSIFICATION, EMBEDDING, LANGUAGE_MODELING, TRANSLATION, LoadedModel

BATCH = 8  # sentences
LONGEST = 12  # maximum tokens of a random sentence
Sample = dict[str, Any]


class NoSplitError(ValueError):
    """The data have no such split."""


def split_samples(
    student: LoadedModel, subset: str, count: int, batch: int = BATCH
) -> list[Sample]:
    """Return batches of sentences of similar length from a split, collated by fairseq.

    Args:
        subset: name of the split.
        count: number of sentences (or blocks of a language model) from the beginning; 0: all.
        batch: sentences per batch.
    Raises:
        NoSplitError: no such split.
        ValueError: the split is empty, or a sentence is too long for the model.
    """
    try:
        student.task.load_dataset(subset)
        dataset = student.task.dataset(subset)
    except (AssertionError, FileNotFoundError, KeyError) as error:
        raise NoSplitError(
            f"--gen-subset {subset}: no such split in --data {student.data}: {error}"
        ) from error
    chosen = np.arange(min(count or len(dataset), len(dataset)))
    if not len(chosen):
        raise ValueError(f"--gen-subset {subset}: expected sentences, got an empty split")
    limit = utils.resolve_max_positions(student.task.max_positions(), student.model.max_positions())
    _, too_long = dataset.filter_indices_by_size(chosen, limit)
    if too_long:
        raise ValueError(
            f"--gen-subset {subset}: expected sentences of at most {limit} tokens, the limit of "
            f"{student.info.named}; {len(too_long)} are longer (the first is number {too_long[0]})"
        )
    order = sorted(chosen.tolist(), key=dataset.num_tokens)
    starts = range(0, len(order), batch)
    samples = [dataset.collater([dataset[i] for i in order[s : s + batch]]) for s in starts]
    if student.info.task == EMBEDDING:
        return [_single_sentences(student, sample) for sample in samples]
    return samples


def _single_sentences(student: LoadedModel, sample: Sample) -> Sample:
    """Return the sentences of pairs, or of blocks of masked_lm, as samples of their own."""
    dictionary, tokens = student.task.source_dictionary, sample["net_input"]["src_tokens"]
    target = sample.get("target")
    if target is not None and target.shape == tokens.shape:  # take the masks off
        tokens = torch.where(target == dictionary.pad(), tokens, target)
    tokens, _ = split_sentences(tokens, dictionary)
    return {"id": torch.arange(len(tokens)), "net_input": {"src_tokens": tokens}}


def random_samples(student: LoadedModel, count: int) -> list[Sample]:
    """Return batches of seeded random tokens, without special symbols but with padding."""
    generator = torch.Generator().manual_seed(1)
    dictionary = student.task.source_dictionary
    target = student.task.target_dictionary if student.info.task == TRANSLATION else dictionary
    first, last = dictionary.nspecial, min(len(dictionary), len(target))

    def sentence(size: int) -> Tensor:
        words = torch.randint(first, last, (size - 1,), generator=generator)
        return torch.cat([words, torch.tensor([dictionary.eos()])])

    sizes = torch.randint(2, LONGEST + 1, (count,), generator=generator).tolist()
    texts = [sentence(size) for size in sizes]
    starts = range(0, count, BATCH)
    return [_collate(student, texts[s : s + BATCH]) for s in starts]


def _collate(student: LoadedModel, texts: Sequence[Tensor]) -> Sample:
    """Return a batch in which the target is the source."""
    dictionary, kind = student.task.source_dictionary, student.info.task
    pad = dictionary.pad()
    target = collate_tokens(texts, pad)
    shifted = collate_tokens([torch.cat([x[-1:], x[:-1]]) for x in texts], pad)
    net_input = {"src_lengths": torch.tensor([len(x) for x in texts])}
    if kind == TRANSLATION:
        sources = collate_tokens(texts, pad, left_pad=True)
        net_input |= {"src_tokens": sources, "prev_output_tokens": shifted}
    elif kind == LANGUAGE_MODELING:
        net_input["src_tokens"] = shifted
    else:
        start = student.task.cfg.init_token if kind == CLASSIFICATION else dictionary.bos()
        started = [
            torch.cat([torch.tensor([] if start is None else [start]).long(), x]) for x in texts
        ]
        net_input["src_tokens"] = collate_tokens(started, pad)
    return {"id": torch.arange(len(texts)), "net_input": net_input, "target": target}
