"""Search hypotheses with fairseq's generator."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.search import Sampling
from fairseq.sequence_generator import SequenceGenerator
from torch import nn

from ..protocols import Sample
from ..teachers.cache.source import place, to_device_of
from ..teachers.loading import load_teacher
from .corpus import Tokens
from .hypotheses import Hypothesis
from .job import Job

ANY_LENGTH = 2**31 - 1
Answers = list[tuple[int, list[Hypothesis]]]  # numbers of sources, and hypotheses, best first


class FairseqSearch:
    """The teacher of a job, loaded, with fairseq's generator.

    Raises:
        ValueError: the teacher cannot be used; the task has another generator or ignores
            --sampling.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.task = job, job.task
        self.vocab = len(job.dictionaries[1])  # a task may append language tokens
        self.models: list[Any] = [_load_model(path, job) for path in job.request.path.split(":")]
        self.generator = self._build_generator()

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

    def run(self, samples: Iterable[Sample]) -> Iterator[Answers]:
        """Yield the answers for every batch."""
        for sample in samples:
            yield self.answers(sample, self.limit(sample))

    def limit(self, sample: Sample) -> int:
        """Return the maximum number of tokens before eos in a batch, as the generator does."""
        generator = self.generator
        if generator.match_source_len:
            return ANY_LENGTH
        width = sample["net_input"]["src_tokens"].size(1)
        limit = int(generator.max_len_a * width + generator.max_len_b)
        return min(limit, int(generator.max_len) - 1)

    def answers(self, sample: Sample, limit: int) -> Answers:
        """Search the hypotheses of a batch.

        Args:
            limit: see `limit`; marks hypotheses as cut.
        Raises:
            ValueError: the generator stops because no output is possible.
        """
        sample = to_device_of(self.models[0], sample)
        prefix_size = self.job.cfg.generation.prefix_size
        prefix = sample["target"][:, :prefix_size] if prefix_size else None
        outputs = self._generate(sample, prefix)
        return [
            (index, [self.hypothesis(_ids(x["tokens"]), x["score"], limit) for x in output])
            for index, output in zip(sample["id"].tolist(), outputs, strict=True)
        ]

    def answers_within(self, sample: Sample, limit: int) -> Answers:
        """Search with another limit than that of the batch."""
        generator = self.generator
        lengths = generator.max_len_a, generator.max_len_b
        generator.max_len_a, generator.max_len_b = 0, limit
        try:
            return self.answers(sample, limit)
        finally:
            generator.max_len_a, generator.max_len_b = lengths

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

    def hypothesis(self, tokens: Tokens, score: float, limit: int) -> Hypothesis:
        """Strip eos, language tokens at both ends, and bos from `(T,)` tokens."""
        dictionary, cut = self.task.target_dictionary, len(tokens) > limit
        while len(tokens) and (tokens[-1] >= self.vocab or tokens[-1] == dictionary.eos()):
            tokens = tokens[:-1]
        while len(tokens) and (tokens[0] >= self.vocab or tokens[0] == dictionary.bos()):
            tokens = tokens[1:]
        return Hypothesis(tokens, float(score), cut)


def _ids(tokens: Any) -> Tokens:
    ids: Tokens = tokens.cpu().numpy().astype(np.int64)
    return ids


def _load_model(path: str, job: Job) -> nn.Module:
    model = load_teacher(path, job.task, job.request.kd_teacher_data, flag="--path")
    if not isinstance(model, FairseqEncoderDecoderModel):
        raise ValueError(f"--path {path}: expected an encoder-decoder, got {type(model).__name__}")
    return place(model, job.cfg.common)
