"""Decode sources block by block, with the search of either backend."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from fairseq import utils
from numpy.typing import NDArray

from ..protocols import Sample
from ..shards import Advance, Block
from ..teachers.cache.fingerprint import ROWS, sample_sizes
from ..teachers.cache.source import batches, check_longest
from .corpus import Tokens, checksum
from .fairseq_search import ANY_LENGTH, Answers, FairseqSearch
from .hypotheses import Hypotheses, Hypothesis
from .job import Job


class Search(Protocol):
    """What searches the hypotheses: fairseq, or another backend."""

    def run(self, samples: Iterable[Sample]) -> Iterator[Answers]:
        """Yield the answers for every batch, in order."""


class Decoder:
    """The sources of a job, and the search.

    Args:
        fairseq: the teacher; it is also the first `search`, which may be replaced.
    Raises:
        ValueError: task and files differ in the number of sentences; a sentence exceeds
            --max-tokens.
    """

    def __init__(self, job: Job, fairseq: FairseqSearch) -> None:
        self.job, self.task, self.corpus = job, job.task, job.corpus
        self.vocab = len(job.dictionaries[1])  # a task may append language tokens
        self.search: Search = fairseq
        self.dataset: Any = self.task.dataset(self.corpus.place.split)
        if len(self.dataset) != self.corpus.total:
            raise ValueError(
                f"expected a task that reads all {self.corpus.total} sentences of the files once, "
                f"got {len(self.dataset)} sentences (set --upsample-primary 1)"
            )
        limits = (model.max_positions() for model in fairseq.models)
        longest = utils.resolve_max_positions(self.task.max_positions(), *limits)
        self.max_source = int(longest[0] if isinstance(longest, tuple | list) else longest)
        self._check_batches()

    def decode(self, block: Block, advance: Advance) -> list[Hypotheses]:
        """Decode the sources of a block.

        The result depends only on the teacher, the flags and these sources, not on the shard.

        Args:
            advance: called after every batch with the number of decoded sources.
        Raises:
            ValueError: a source of the task differs from that of the file.
        """
        seed = np.random.SeedSequence([self.job.cfg.common.seed, block.first]).generate_state(1)[0]
        torch.manual_seed(int(seed))
        indices = np.arange(block.first, block.first + block.count)
        decoded: dict[int, list[Hypothesis]] = {}
        for answers in self.search.run(self.samples(indices)):
            decoded.update(answers)
            advance(len(decoded))
        sources = [(i, checksum(self.corpus.source(i))) for i in indices.tolist()]
        return [Hypotheses(source, decoded.get(i, [])) for i, source in sources]

    def samples(self, indices: NDArray[Any]) -> Iterator[Sample]:
        """Yield batches of those of `(n,)` sources that are short enough, longest first.

        Raises:
            ValueError: a source of the task differs from that of the file.
        """
        for sample in batches(self.dataset, self.usable(indices), self.job.batching):
            rows = sample["net_input"]["src_tokens"].numpy()
            for index, row in zip(sample["id"].tolist(), rows, strict=True):
                self._check_source(index, row)
            yield sample

    def usable(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the sources that are short enough, longest first; targets may be of any length."""
        limits = (self.max_source, ANY_LENGTH)
        usable = np.asarray(self.dataset.filter_indices_by_size(indices, limits)[0], dtype=np.int64)
        ordered: NDArray[Any] = usable[np.argsort(-self.corpus.sizes[usable], kind="stable")]
        return ordered

    def _check_batches(self) -> None:
        """Refuse sentences longer than --max-tokens."""
        sizes, longest, count = sample_sizes(self.dataset), 0, len(self.corpus)
        for first in range(0, count, ROWS):
            usable = self.usable(np.arange(first, min(first + ROWS, count)))
            longest = max(longest, int(sizes[usable].max(initial=0)))
        check_longest(np.array([longest]), self.job.batching)

    def _check_source(self, index: int, row: Tokens) -> None:
        """Raise ValueError if the task's source differs from that of the file."""
        on_disk, given = (self._words(x) for x in (self.corpus.source(index), row))
        if getattr(self.job.cfg.task, "truncate_source", False):
            on_disk = on_disk[: len(given)]
        if not np.array_equal(on_disk, given):
            raise ValueError(
                f"sentence {index}: expected the tokens of the file, except for language tokens, "
                "but the task changes its input (use a task that does not)"
            )

    def _words(self, row: Tokens) -> Tokens:
        """Drop padding, eos and language tokens."""
        first = self.task.target_dictionary.nspecial
        words: Tokens = row[(row >= first) & (row < self.vocab)]
        return words
