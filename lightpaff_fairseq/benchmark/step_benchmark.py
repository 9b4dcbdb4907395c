"""`lightpaff benchmark step`: an update with distillation, online and cached, against its parts."""

import math
import shlex
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from fairseq import options, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.trainer import Trainer
from torch import nn

from ..checkpoints.strip import stripped_state
from ..teachers.loading import load_teacher
from .step_cache import store
from .step_models import FAMILIES
from .step_pruning import MASKED, prune_flags, pruned_ratio, pruning_variants
from .synthetic_data import SPLIT, write_corpus
from .timing import interleaved_times, median_ratio

PLAIN, TEACHER, KD, CACHED, MORE = "plain", "teacher", "kd", "cached", "more"
SMALLEST_VOCAB = 16
RUN = (
    "--sample-break-mode eos --optimizer adam --lr 1e-4 --lr-scheduler fixed --clip-norm 1 "
    "--max-tokens 1000000 --seed 1"
)


@dataclass(frozen=True)
class StepProblem:
    """One update: a batch of `sentences` of `length` tokens each, `vocab` symbols, two models.

    Attributes:
        topk: symbols a position of the cached teacher.
        more: --kd-... flags of one more variant, to be compared with plain distillation; or none.
        prune: the ratio to which one more variant prunes the student; 0 = no such variant.
        clock: one of `timing.CLOCKS`.
    """

    family: str
    vocab: int
    sentences: int
    length: int
    chunk_tokens: int
    topk: int
    student: str
    teacher: str
    device: str
    more: str = ""
    prune: float = 0.0
    clock: str = "wall"


@dataclass(frozen=True)
class StepReport:
    """Times in seconds, a value a round; ratios are medians over the rounds.

    Attributes:
        kd_to_parts: distillation update / (plain update + teacher forward); 1 = nothing is lost.
        teacher_to_plain: teacher forward / plain update.
        cached_to_plain: distillation update from a top-k cache / plain update.
        more_to_kd: distillation update with more knowledge / without; None where none was asked.
        pruned_to_kd: distillation update in a prunable task / in the stock one, on average over
            an interval of ten; None where none was asked.
        parameters: of `student` and `teacher`.
        positions: predicted positions of the batch.
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


def check_problem(problem: StepProblem) -> None:
    """Checks the command line.

    Raises:
        ValueError: names all sizes out of range, or a device that is not there.
    """
    least = {"vocab": SMALLEST_VOCAB, "sentences": 1, "length": 2, "chunk_tokens": 1, "topk": 1}
    sizes = {name: getattr(problem, name) for name in least}
    wrong = [
        f"--{name.replace('_', '-')}: expected {least[name]} or more, found {value}"
        for name, value in sizes.items()
        if value < least[name]
    ]
    if not 0 <= problem.prune <= 1:
        wrong.append(f"--prune: expected a ratio up to 1, or 0 (off), found {problem.prune}")
    if problem.topk >= problem.vocab:
        wrong.append(f"--topk: expected less than --vocab {problem.vocab}, found {problem.topk}")
    if problem.device == "cuda" and not torch.cuda.is_available():
        wrong.append("--device cuda: PyTorch finds no GPU here")
    if wrong:
        raise ValueError("; ".join(wrong))


class Bench:
    """Everything that is timed, made beforehand from fairseq-train's own flags."""

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
        self.kd = self._distilling("--student", kd)
        self.store = store(self.kd, problem.topk, str(path), folder / "cache")
        cache = f"{distill} --kd-cache {shlex.quote(str(self.store.folder))}"
        self.cached = self._distilling("--student", cache)
        self.more = self._distilling("--more", f"{kd} {problem.more}") if problem.more else None
        flags = prune_flags(family.task, problem.prune)
        self.pruned = self._distilling("--prune", f"{kd} {flags}") if problem.prune else None
        self.teacher: nn.Module = load_teacher(str(path), self.plain.task).to(teacher.device)
        self.sample = self._batch(self.plain.task)

    def _distilling(self, flag: str, words: str) -> Any:
        """A trainer whose teacher is loaded."""
        trainer = self._trainer(flag, words)
        criterion = trainer.get_criterion()
        criterion.before_training(trainer.model, trainer.get_num_updates)
        trainer.task.load_dataset(SPLIT)
        criterion.begin_epoch(1, SPLIT)
        return trainer

    def _trainer(self, flag: str, words: str) -> Any:
        """fairseq's trainer for model flags that came with `flag`."""
        length = self.problem.length + 1  # BERT's samples start with one more symbol
        argv = [str(self.folder), "--task", self.family.task, *shlex.split(f"{RUN} {words}")]
        argv += ["--tokens-per-sample", str(length), "--save-dir", str(self.folder)]
        argv += ["--cpu"] if self.problem.device == "cpu" else []
        try:
            args = options.parse_args_and_arch(options.get_training_parser(), argv)
        except SystemExit as error:
            raise ValueError(
                f"{flag}: fairseq-train does not take {words!r} (see above)"
            ) from error
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # hydra's, of fairseq
            cfg = convert_namespace_to_omegaconf(args)
        task = tasks.setup_task(cfg.task)
        torch.manual_seed(cfg.common.seed)
        model = task.build_model(cfg.model)
        limit = utils.resolve_max_positions(model.max_positions())
        shortest = min(limit) if isinstance(limit, tuple) else limit
        if length > shortest:
            raise ValueError(
                f"--length {self.problem.length}: the model of {flag} takes {shortest - 1} at most"
            )
        trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
        trainer.begin_epoch(1)
        return trainer

    def _batch(self, task: Any) -> dict[str, Any]:
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
        """`(B, T)` bool: the positions that are predicted."""
        return self.sample["target"].ne(self.plain.task.source_dictionary.pad())

    def update(self, trainer: Any) -> dict[str, Any]:
        """One update of fairseq's trainer: forward, backward, clipping, Adam; its log."""
        log = trainer.train_step([self.sample])
        if not log or not math.isfinite(log["loss"]):
            raise ValueError(f"the update failed: {log}")
        return dict(log)

    @torch.no_grad()
    def teach(self) -> torch.Tensor:
        """The teacher's logits at the predicted positions, as the stock criterion asks for them."""
        sample = utils.move_to_cuda(self.sample) if self.problem.device == "cuda" else self.sample
        extra = {}
        if self.problem.family == "bert":
            extra["masked_tokens"] = self.positions.to(sample["target"].device)
        logits: torch.Tensor = self.teacher(**sample["net_input"], **extra)[0]
        return logits

    def variants(self) -> dict[str, Callable[[], Any]]:
        """What is timed, by name."""
        found: dict[str, Callable[[], Any]] = {
            PLAIN: partial(self.update, self.plain),
            TEACHER: self.teach,
            KD: partial(self.update, self.kd),
            CACHED: partial(self.update, self.cached),
        }
        if self.more:
            found[MORE] = partial(self.update, self.more)
        if self.pruned:
            found |= pruning_variants(self.pruned, self.update)
        return found


def benchmark_step(problem: StepProblem, repeats: int) -> StepReport:
    """Measures all variants in one run, interleaved.

    Args:
        problem: batch and models.
        repeats: rounds of timing, >= 1.
    Raises:
        ValueError: see `check_problem`; or model flags that fairseq does not take, or a length
            that a model does not take.
    """
    check_problem(problem)
    with TemporaryDirectory() as folder:
        bench = Bench(problem, Path(folder))
        times = interleaved_times(bench.variants(), repeats, clock=problem.clock)
    parts = [a + b for a, b in zip(times[PLAIN], times[TEACHER], strict=True)]
    models = {"student": bench.plain.model, "teacher": bench.teacher}
    return StepReport(
        seconds={name: statistics.median(seconds) for name, seconds in times.items()},
        all_seconds=times,
        kd_to_parts=median_ratio(times[KD], parts),
        teacher_to_plain=median_ratio(times[TEACHER], times[PLAIN]),
        cached_to_plain=median_ratio(times[CACHED], times[PLAIN]),
        more_to_kd=median_ratio(times[MORE], times[KD]) if MORE in times else None,
        pruned_to_kd=pruned_ratio(times, KD) if MASKED in times else None,
        parameters={k: sum(p.numel() for p in m.parameters()) for k, m in models.items()},
        positions=int(bench.positions.sum()),
    )
