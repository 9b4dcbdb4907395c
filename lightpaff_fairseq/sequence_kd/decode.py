"""Decoding of sources by the teacher, with fairseq's own generator, block by block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fairseq import utils
from numpy.typing import NDArray
from torch import nn

from ..protocols import Sample
from ..shards import Advance, Block
from ..teachers.cache.fingerprint import sample_sizes
from ..teachers.cache.source import Batching, batches, to_device_of
from .corpus import Corpus, Tokens, checksum
from .hypotheses import Hypotheses, Hypothesis

ANY_LENGTH = 2**31 - 1  # references are not read by the teacher


@dataclass(frozen=True)
class Search:
    """A generator and its settings.

    Attributes:
        generator: fairseq's SequenceGenerator of the task; models: that it uses, on their device.
        prefix_size: tokens of the reference that begin every hypothesis (--prefix-size).
        seed: of sampling; every block is seeded with (seed, first source).
        truncates: whether the task shortens sources (--truncate-source).
    """

    generator: Any
    models: Sequence[nn.Module]
    prefix_size: int
    seed: int
    truncates: bool


class Decoder:
    """Decodes sources of a split.

    Args:
        task: fairseq's, with the split loaded.
        corpus: the same split as it is on disk.
        vocab: entries of the target dictionary's file; a task may add language tokens behind them.
    Raises:
        ValueError: task and disk do not have equally many sentences, or one exceeds --max-tokens.
    """

    def __init__(
        self, task: Any, corpus: Corpus, vocab: int, search: Search, batching: Batching
    ) -> None:
        self.task, self.corpus, self.vocab = task, corpus, vocab
        self.search, self.batching = search, batching
        self.dataset: Any = task.dataset(corpus.place.split)
        if len(self.dataset) != len(corpus):
            raise ValueError(
                f"the task reads {len(self.dataset)} sentences where the files have {len(corpus)}: "
                "expected --upsample-primary 1 and no other sampling of the data"
            )
        models: Sequence[Any] = search.models
        limits = (model.max_positions() for model in models)
        longest = utils.resolve_max_positions(task.max_positions(), *limits)
        self.max_source = int(longest[0] if isinstance(longest, tuple | list) else longest)
        self._first_word = task.target_dictionary.nspecial
        self._check_batches(np.asarray(sample_sizes(self.dataset)).reshape(len(corpus), -1).max(-1))

    def decode(self, block: Block, advance: Advance) -> list[Hypotheses]:
        """Decode the sources of a block.

        The result depends on nothing but the teacher, the flags and these sources: a block is the
        same in any run, and in any shard.

        Args:
            advance: is told after every batch how many sources are decoded.
        Raises:
            ValueError: the task gives another source than the file has at that place.
        """
        seed = np.random.SeedSequence([self.search.seed, block.first]).generate_state(1)[0]
        torch.manual_seed(int(seed))
        indices = np.arange(block.first, block.first + block.count)
        decoded: dict[int, list[Hypothesis]] = {}
        for sample in batches(self.dataset, self._usable(indices), self.batching):
            decoded.update(self._decode_batch(sample))
            advance(len(decoded))
        sources = [(i, checksum(self.corpus.source(i))) for i in indices.tolist()]
        return [Hypotheses(source, decoded.get(i, [])) for i, source in sources]

    def _check_batches(self, tokens: NDArray[Any]) -> None:
        """Refuse `(sentences,)` lengths of which one alone exceeds --max-tokens."""
        usable = self._usable(np.arange(len(tokens)))
        longest, limit = int(tokens[usable].max(initial=0)), self.batching.max_tokens
        if limit and longest > limit:
            raise ValueError(f"--max-tokens {limit}: expected at least the longest pair, {longest}")

    def _usable(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the sources that are short enough, the longest first."""
        limits = (self.max_source, ANY_LENGTH)
        usable = np.asarray(self.dataset.filter_indices_by_size(indices, limits)[0], dtype=np.int64)
        ordered: NDArray[Any] = usable[np.argsort(-self.corpus.sizes[usable], kind="stable")]
        return ordered

    def _decode_batch(self, sample: Sample) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Yield the numbers of a batch's sources and their hypotheses, best first."""
        rows, ids = sample["net_input"]["src_tokens"], sample["id"].tolist()
        for index, row in zip(ids, rows, strict=True):
            self._check_source(index, row.numpy())
        sample = to_device_of(self.search.models[0], sample)
        prefix = sample["target"][:, : self.search.prefix_size] if self.search.prefix_size else None
        outputs = self._generate(sample, prefix)
        limit = self._limit(rows.size(1))
        for index, output in zip(ids, outputs, strict=True):
            yield index, [self._hypothesis(x["tokens"], x["score"], limit) for x in output]

    def _generate(self, sample: Sample, prefix: Any) -> Any:
        """Generate the hypotheses of a batch, as fairseq returns them.

        Raises:
            ValueError: the generator stops, as it does where no output is possible.
        """
        generator, models = self.search.generator, list(self.search.models)
        try:
            return self.task.inference_step(generator, models, sample, prefix_tokens=prefix)
        except AssertionError as error:
            raise ValueError(
                f"sentence {int(sample['id'][0])}: fairseq's generator stopped ({error}): expected "
                "--min-len within --max-len-a and --max-len-b, and a --path whose outputs are "
                "numbers (a corrupt model has none, nor --fp16 where it overflows)"
            ) from error

    def _limit(self, source_length: int) -> int:
        """Return how many tokens the generator allows before eos, for sources of this length."""
        generator = self.search.generator
        if generator.match_source_len:
            return ANY_LENGTH
        limit = int(generator.max_len_a * source_length + generator.max_len_b)
        return min(limit, int(generator.max_len) - 1)

    def _hypothesis(self, output: Any, score: Any, limit: int) -> Hypothesis:
        """Strip eos, and what a task adds: language tokens at both ends, bos at the beginning."""
        tokens: Tokens = output.cpu().numpy().astype(np.int64)
        dictionary, cut = self.task.target_dictionary, len(tokens) > limit
        while len(tokens) and (tokens[-1] >= self.vocab or tokens[-1] == dictionary.eos()):
            tokens = tokens[:-1]
        while len(tokens) and (tokens[0] >= self.vocab or tokens[0] == dictionary.bos()):
            tokens = tokens[1:]
        return Hypothesis(tokens, float(score), cut)

    def _check_source(self, index: int, row: Tokens) -> None:
        """Compare the source that the task gives to the teacher with the one on disk."""
        on_disk, given = (self._words(x) for x in (self.corpus.source(index), row))
        if self.search.truncates:
            on_disk = on_disk[: len(given)]
        if not np.array_equal(on_disk, given):
            raise ValueError(
                f"sentence {index}: the task's source is not the one of the file; expected equal "
                "tokens beside language tokens: is the task one that changes its input?"
            )

    def _words(self, row: Tokens) -> Tokens:
        """Drop padding, eos and language tokens."""
        words: Tokens = row[(row >= self._first_word) & (row < self.vocab)]
        return words
