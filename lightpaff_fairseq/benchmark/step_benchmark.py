"""`lightpaff benchmark step`: an update with distillation, online and cached, against its parts."""

import math
import shlex
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from fairseq import tasks, utils
from fairseq.tasks import FairseqTask
from fairseq.trainer import Trainer
from torch import nn

from ..checkpoints.strip import stripped_state
from ..fairseq_flags import parse_fairseq
from ..megabytes import MEGABYTE
from ..teachers.loading import load_teacher
from ..timing import interleaved_times, median_ratio
from .peak_memory import gpu_peak
from .step_cache import build_cache
from .step_models import FAMILIES
from .step_pruning import MASKED, prune_flags, pruned_ratio, pruning_variants
from .step_sizes import StepProblem
from .synthetic_data import SPLIT, write_corpus

PLAIN, TEACHER, KD, CACHED, MORE = "plain", "teacher", "kd", "cached", "more"
RUN = (
    "--sample-break-mode eos --optimizer adam --lr 1e-4 --lr-scheduler fixed --clip-norm 1 "
    "--max-tokens 1000000 --seed 1"
)
PRECISION = {"float32": (), "bfloat16": ("--bf16",), "float16": ("--fp16",)}
CPU = ("--cpu", "--fp16-no-flatten-grads")  # fairseq flattens them on CUDA only


@dataclass(frozen=True)
class StepReport:
    """Times in seconds, one per round; ratios are medians over the rounds.

    Attributes:
        kd_to_parts: distillation update / (plain update + teacher forward); 1 = no overhead.
        teacher_to_plain: teacher forward / plain update.
        cached_to_plain: distillation update from a top-k cache / plain update.
        more_to_kd: distillation update with the flags of --more / without; None without --more.
        pruned_to_kd: distillation update in a prunable task / in the stock one, on average over
            an interval of ten; None without --prune.
        parameters: of `student` and `teacher`.
        positions: predicted positions of the batch.
        tokens_per_second: tokens of the batch / seconds, by variant.
        extra_mb: peak of a first update on a GPU, see `step_memory`; empty if not measured.
    """

    seconds: dict[str, float]
    all_seconds: dict[str, list[float]]
    kd_to_parts: float
    teacher_to_plain: float
    cached_to_plain: float
    more_to_kd: float | None
    pruned_to_kd: float | None
    parameters: dict[str, int]
    positions: int
    tokens_per_second: dict[str, float]
    extra_mb: dict[str, float | None]


class Bench:
    """Trainers, models and data of all variants, built from flags of fairseq-train."""

    def __init__(self, problem: StepProblem, folder: Path) -> None:
        family = FAMILIES[problem.family]
        self.problem, self.family, self.folder = problem, family, folder
        write_corpus(folder, problem.vocab, problem.sentences, problem.length)
        plain = f"--criterion {family.stock}"
        teacher = self._trainer("--teacher", f"{problem.teacher} {plain}")
        path = folder / "teacher.pt"
        history: list[dict[str, Any]] = [{}]
        state = {"cfg": teacher.cfg, "model": teacher.model.state_dict()}
        torch.save(stripped_state({**state, "optimizer_history": history}), path)
        self.plain = self._trainer("--student", f"{problem.student} {plain}")
        distill = f"{problem.student} --criterion {family.kd} "
        distill += f"--kd-chunk-tokens {problem.chunk_tokens}"
        kd = f"{distill} --kd-teacher {shlex.quote(str(path))}"
        self.kd = self._kd_trainer("--student", kd)
        self.cache = build_cache(self.kd, problem.topk, str(path), folder / "cache")
        cache = f"{distill} --kd-cache {shlex.quote(str(self.cache.folder))}"
        self.cached = self._kd_trainer("--student", cache)
        self.more = self._kd_trainer("--more", f"{kd} {problem.more}") if problem.more else None
        flags = prune_flags(family.task, problem.prune)
        self.pruned = self._kd_trainer("--prune", f"{kd} {flags}") if problem.prune else None
        place = {"device": teacher.device, "dtype": getattr(torch, problem.dtype)}
        self.teacher: nn.Module = load_teacher(str(path), self.plain.task).to(**place)
        self.sample = self._batch(self.plain.task)

    def _kd_trainer(self, flag: str, words: str) -> Trainer:
        """Return a trainer whose teacher is ready."""
        trainer = self._trainer(flag, words)
        criterion = trainer.get_criterion()
        criterion.before_training(trainer.model, trainer.get_num_updates)
        trainer.task.load_dataset(SPLIT)
        criterion.begin_epoch(1, SPLIT)
        return trainer

    def _trainer(self, flag: str, words: str) -> Trainer:
        """Return fairseq's trainer for the model flags of `flag`."""
        length = self.problem.length + 1  # BERT's samples start with one more token
        argv = [str(self.folder), "--task", self.family.task, *RUN.split()]
        argv += ["--tokens-per-sample", str(length), "--save-dir", str(self.folder)]
        argv += PRECISION[self.problem.dtype]
        argv += CPU if self.problem.device == "cpu" else ()
        cfg = parse_fairseq("fairseq-train", argv, flag, words)
        task = tasks.setup_task(cfg.task)
        torch.manual_seed(cfg.common.seed)
        model = task.build_model(cfg.model)
        limit = utils.resolve_max_positions(model.max_positions())
        shortest = min(limit) if isinstance(limit, tuple) else limit
        if length > shortest:
            raise ValueError(
                f"--length {self.problem.length}: expected at most {shortest - 1}, the limit of "
                f"the model of {flag}"
            )
        trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
        trainer.begin_epoch(1)
        return trainer

    def _batch(self, task: FairseqTask) -> dict[str, Any]:
        task.load_dataset(SPLIT)
        dataset = task.dataset(SPLIT)
        if hasattr(dataset, "set_epoch"):
            dataset.set_epoch(1)
        sample = dataset.collater([dataset[i] for i in range(self.problem.sentences)])
        trainers = (self.plain, self.kd, self.cached, self.more, self.pruned)
        for trainer in filter(None, trainers):
            trainer.reset_dummy_batch(sample)
        return dict(sample)

    @property
    def positions(self) -> torch.Tensor:
        """The predicted positions, `(B, T)` bool."""
        target: torch.Tensor = self.sample["target"]
        return target.ne(self.plain.task.source_dictionary.pad())

    def update(self, trainer: Trainer) -> dict[str, Any]:
        """Make one update (forward, backward, clipping, Adam); return its log."""
        log = trainer.train_step([self.sample])
        if not log or not math.isfinite(log["loss"]):
            raise ValueError(f"expected an update with a finite loss, got the log {log}")
        return dict(log)

    @torch.no_grad()
    def teacher_logits(self) -> torch.Tensor:
        """Return the teacher's logits, computed as in the stock criterion."""
        sample = utils.move_to_cuda(self.sample) if self.problem.device == "cuda" else self.sample
        extra: dict[str, torch.Tensor] = {}
        if self.problem.family == "bert":
            extra["masked_tokens"] = self.positions.to(sample["target"].device)
        logits: torch.Tensor = self.teacher(**sample["net_input"], **extra)[0]
        return logits

    def gpu_memory(self) -> dict[str, float | None]:
        """Return the MB of `step_memory`, on a GPU, where no fresh processes are needed."""
        self.teacher_logits()  # allocates the workspace of matrix products
        return {name: gpu_peak(run) / MEGABYTE for name, run in self.variants().items()}

    def variants(self) -> dict[str, Callable[[], Any]]:
        """Return the functions to time, by name."""
        variants: dict[str, Callable[[], Any]] = {
            PLAIN: partial(self.update, self.plain),
            TEACHER: self.teacher_logits,
            KD: partial(self.update, self.kd),
            CACHED: partial(self.update, self.cached),
        }
        if self.more:
            variants[MORE] = partial(self.update, self.more)
        if self.pruned:
            variants |= pruning_variants(self.pruned, self.update)
        return variants


def benchmark_step(problem: StepProblem, repeats: int, gpu_memory: bool = False) -> StepReport:
    """Time all variants in one run, interleaved.

    Args:
        problem: batch and models.
        repeats: rounds of timing, >= 1.
        gpu_memory: also measure the peak memory of a first update; on CUDA only.
    Raises:
        ValueError: bad flags, see `StepProblem.problems`; model flags that fairseq rejects, or
            samples that are too long for a model.
    """
    problem.problems().raise_if_any()
    with TemporaryDirectory() as folder:
        bench = Bench(problem, Path(folder))
        extra = bench.gpu_memory() if gpu_memory else {}
        times = interleaved_times(bench.variants(), repeats, clock=problem.clock)
    parts = [a + b for a, b in zip(times[PLAIN], times[TEACHER], strict=True)]
    models = {"student": bench.plain.model, "teacher": bench.teacher}
    seconds = {name: statistics.median(each) for name, each in times.items()}
    tokens = problem.sentences * problem.length
    return StepReport(
        seconds=seconds,
        all_seconds=times,
        kd_to_parts=median_ratio(times[KD], parts),
        teacher_to_plain=median_ratio(times[TEACHER], times[PLAIN]),
        cached_to_plain=median_ratio(times[CACHED], times[PLAIN]),
        more_to_kd=median_ratio(times[MORE], times[KD]) if MORE in times else None,
        pruned_to_kd=pruned_ratio(times, KD) if MASKED in times else None,
        parameters={k: sum(p.numel() for p in m.parameters()) for k, m in models.items()},
        positions=int(bench.positions.sum()),
        tokens_per_second={name: tokens / each for name, each in seconds.items()},
        extra_mb=extra,
    )
