"""The teacher's hypotheses: fairseq's own generator, block by block."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fairseq import utils
from numpy.typing import NDArray
from torch import nn

from ..teachers.cache.fingerprint import sample_sizes
from ..teachers.cache.source import Batching, batches
from .corpus import Corpus, Symbols, checksum
from .store import Answer, Hypothesis

ANY_LENGTH = 2**31 - 1  # references are not read by the teacher


@dataclass(frozen=True)
class Search:
    """How the teacher decodes.

    Attributes:
        generator: fairseq's SequenceGenerator of the task; models: that it uses, on their device.
        prefix_size: symbols of the reference that begin every hypothesis (--prefix-size).
        seed: of sampling; every block draws from (seed, first source) on.
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
        corpus: the same split as it is on disk; `symbols`: entries of its target dictionary's file
            (a task may add language tokens behind them).
    Raises:
        ValueError: task and disk do not have equally many sentences, or one exceeds --max-tokens.
    """

    def __init__(
        self, task: Any, corpus: Corpus, symbols: int, search: Search, batching: Batching
    ) -> None:
        self.task, self.corpus, self.symbols = task, corpus, symbols
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
        self._ordinary = task.target_dictionary.nspecial
        self._check_batches(np.asarray(sample_sizes(self.dataset)).reshape(len(corpus), -1).max(-1))

    def answers(self, first: int, count: int, tell: Callable[[int], None]) -> list[Answer]:
        """What the teacher says of the sources `first` to `first + count - 1`.

        Depends on nothing but the teacher, the flags and these sources: a block is the same in any
        run, and in any shard.

        Args:
            tell: called after every batch with the number of sources that have their hypotheses.
        Raises:
            ValueError: the task gives another source than the file has at that place.
        """
        seed = np.random.SeedSequence([self.search.seed, first]).generate_state(1)[0]
        torch.manual_seed(int(seed))
        indices = np.arange(first, first + count)
        found: dict[int, list[Hypothesis]] = {}
        for sample in batches(self.dataset, self._usable(indices), self.batching):
            found.update(self._decode(sample))
            tell(len(found))
        sources = [(i, checksum(self.corpus.source(i))) for i in indices.tolist()]
        return [Answer(source, found.get(i, [])) for i, source in sources]

    def _check_batches(self, tokens: NDArray[Any]) -> None:
        """Refuses `(sentences,)` numbers of symbols that exceed --max-tokens alone."""
        usable = self._usable(np.arange(len(tokens)))
        longest, limit = int(tokens[usable].max(initial=0)), self.batching.max_tokens
        if limit and longest > limit:
            raise ValueError(f"--max-tokens {limit}: expected at least the longest pair, {longest}")

    def _usable(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Sources that are short enough, the longest first."""
        limits = (self.max_source, ANY_LENGTH)
        usable = np.asarray(self.dataset.filter_indices_by_size(indices, limits)[0], dtype=np.int64)
        ordered: NDArray[Any] = usable[np.argsort(-self.corpus.sizes[usable], kind="stable")]
        return ordered

    def _decode(self, sample: dict[str, Any]) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Numbers of a batch's sources and their hypotheses, best first."""
        rows, ids = sample["net_input"]["src_tokens"], sample["id"].tolist()
        for index, row in zip(ids, rows, strict=True):
            self._check_source(index, row.numpy())
        if next(self.search.models[0].parameters()).is_cuda:
            sample = utils.move_to_cuda(sample)
        prefix = sample["target"][:, : self.search.prefix_size] if self.search.prefix_size else None
        found = self._generate(sample, prefix)
        limit = self._limit(rows.size(1))
        for index, hypotheses in zip(ids, found, strict=True):
            yield index, [self._plain(x["tokens"], x["score"], limit) for x in hypotheses]

    def _generate(self, sample: dict[str, Any], prefix: Any) -> Any:
        """A batch's hypotheses as fairseq gives them.

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
                "numbers (a damaged model has none, nor --fp16 where it overflows)"
            ) from error

    def _limit(self, source_length: int) -> int:
        """Symbols after which the generator forces eos in a batch of this length, as it does it."""
        generator = self.search.generator
        if generator.match_source_len:
            return ANY_LENGTH
        wanted = int(generator.max_len_a * source_length + generator.max_len_b)
        return min(wanted, int(generator.max_len) - 1)

    def _plain(self, tokens: Any, score: Any, limit: int) -> Hypothesis:
        """A hypothesis without eos at its end, and without what a task adds: language tokens at
        both ends, bos at the beginning."""
        symbols: Symbols = tokens.cpu().numpy().astype(np.int64)
        dictionary, cut = self.task.target_dictionary, len(symbols) > limit
        while len(symbols) and (symbols[-1] >= self.symbols or symbols[-1] == dictionary.eos()):
            symbols = symbols[:-1]
        while len(symbols) and (symbols[0] >= self.symbols or symbols[0] == dictionary.bos()):
            symbols = symbols[1:]
        return Hypothesis(symbols, float(score), cut)

    def _check_source(self, index: int, row: Symbols) -> None:
        """Compares what the task hands to the teacher with what is on disk."""
        disk, given = (self._words(x) for x in (self.corpus.source(index), row))
        if self.search.truncates:
            disk = disk[: len(given)]
        if not np.array_equal(disk, given):
            raise ValueError(
                f"sentence {index}: the task's source is not the one of the file; expected equal "
                "symbols beside language tokens: is the task one that changes its input?"
            )

    def _words(self, row: Symbols) -> Symbols:
        """Without padding, eos and language tokens."""
        words: Symbols = row[(row >= self._ordinary) & (row < self.symbols)]
        return words
