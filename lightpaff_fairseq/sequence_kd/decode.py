"""Decode sources with the teacher and fairseq's generator, block by block."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.search import Sampling
from fairseq.sequence_generator import SequenceGenerator
from numpy.typing import NDArray
from torch import nn

from ..protocols import Sample
from ..shards import Advance, Block
from ..teachers.cache.fingerprint import sample_sizes
from ..teachers.cache.source import batches, check_longest, place, to_device_of
from ..teachers.loading import load_teacher
from .corpus import Tokens, checksum
from .hypotheses import Hypotheses, Hypothesis
from .job import Job

ANY_LENGTH = 2**31 - 1


class Decoder:
    """The teacher of a job, loaded, with fairseq's generator.

    Raises:
        ValueError: the teacher cannot be used; the task has another generator or ignores
            --sampling; task and files differ in the number of sentences; a sentence exceeds
            --max-tokens.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.task, self.corpus = job, job.task, job.corpus
        self.vocab = len(job.dictionaries[1])  # a task may append language tokens
        self.models: list[Any] = [_load_model(path, job) for path in job.request.path.split(":")]
        self.generator = self._build_generator()
        self.dataset: Any = self.task.dataset(self.corpus.place.split)
        if len(self.dataset) != len(self.corpus):
            raise ValueError(
                f"expected a task that reads all {len(self.corpus)} sentences of the files once, "
                f"got {len(self.dataset)} sentences (set --upsample-primary 1)"
            )
        limits = (model.max_positions() for model in self.models)
        longest = utils.resolve_max_positions(self.task.max_positions(), *limits)
        self.max_source = int(longest[0] if isinstance(longest, tuple | list) else longest)
        self._check_batches()

    def _build_generator(self) -> Any:
        cfg = self.job.cfg
        for model in self.models:
            model.prepare_for_inference_(cfg)
        generator = self.task.build_generator(self.models, cfg.generation)
        if not isinstance(generator, SequenceGenerator):
            raise ValueError(
                f"--task {cfg.task._name}: expected fairseq's SequenceGenerator, got "
                f"{type(generator).__name__}"
            )
        if cfg.generation.sampling and not isinstance(generator.search, Sampling):
            raise ValueError(f"--sampling: --task {cfg.task._name} does not support it")
        return generator

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
        for sample in batches(self.dataset, self._usable(indices), self.job.batching):
            decoded.update(self._decode_batch(sample))
            advance(len(decoded))
        sources = [(i, checksum(self.corpus.source(i))) for i in indices.tolist()]
        return [Hypotheses(source, decoded.get(i, [])) for i, source in sources]

    def _check_batches(self) -> None:
        """Refuse sentences longer than --max-tokens."""
        tokens = np.asarray(sample_sizes(self.dataset)).reshape(len(self.corpus), -1).max(-1)
        check_longest(tokens[self._usable(np.arange(len(tokens)))], self.job.batching)

    def _usable(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the sources that are short enough, longest first; targets may be of any length."""
        limits = (self.max_source, ANY_LENGTH)
        usable = np.asarray(self.dataset.filter_indices_by_size(indices, limits)[0], dtype=np.int64)
        ordered: NDArray[Any] = usable[np.argsort(-self.corpus.sizes[usable], kind="stable")]
        return ordered

    def _decode_batch(self, sample: Sample) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Yield the number and the hypotheses, best first, of every source of a batch."""
        rows, ids = sample["net_input"]["src_tokens"], sample["id"].tolist()
        for index, row in zip(ids, rows, strict=True):
            self._check_source(index, row.numpy())
        sample = to_device_of(self.models[0], sample)
        prefix_size = self.job.cfg.generation.prefix_size
        prefix = sample["target"][:, :prefix_size] if prefix_size else None
        outputs = self._generate(sample, prefix)
        limit = self._limit(rows.size(1))
        for index, output in zip(ids, outputs, strict=True):
            yield index, [self._hypothesis(x["tokens"], x["score"], limit) for x in output]

    def _generate(self, sample: Sample, prefix: Any) -> Any:
        """Generate the hypotheses of a batch, as fairseq returns them.

        Raises:
            ValueError: the generator stops because no output is possible.
        """
        try:
            return self.task.inference_step(
                self.generator, self.models, sample, prefix_tokens=prefix
            )
        except AssertionError as error:
            raise ValueError(
                f"sentence {int(sample['id'][0])}: fairseq's generator stopped ({error}): expected "
                "--min-len within --max-len-a and --max-len-b, and finite outputs of --path (a "
                "corrupt model, or overflow with --fp16)"
            ) from error

    def _limit(self, source_length: int) -> int:
        """Return the maximum number of tokens before eos for sources of this length."""
        generator = self.generator
        if generator.match_source_len:
            return ANY_LENGTH
        limit = int(generator.max_len_a * source_length + generator.max_len_b)
        return min(limit, int(generator.max_len) - 1)

    def _hypothesis(self, output: Any, score: Any, limit: int) -> Hypothesis:
        """Strip eos, language tokens at both ends, and bos."""
        tokens: Tokens = output.cpu().numpy().astype(np.int64)
        dictionary, cut = self.task.target_dictionary, len(tokens) > limit
        while len(tokens) and (tokens[-1] >= self.vocab or tokens[-1] == dictionary.eos()):
            tokens = tokens[:-1]
        while len(tokens) and (tokens[0] >= self.vocab or tokens[0] == dictionary.bos()):
            tokens = tokens[1:]
        return Hypothesis(tokens, float(score), cut)

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


def _load_model(path: str, job: Job) -> nn.Module:
    model = load_teacher(path, job.task, job.request.kd_teacher_data, flag="--path")
    if not isinstance(model, FairseqEncoderDecoderModel):
        raise ValueError(f"--path {path}: expected an encoder-decoder, got {type(model).__name__}")
    return place(model, job.cfg.common)
