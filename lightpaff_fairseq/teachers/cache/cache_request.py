"""The flags of `lightpaff cache-teacher`, and the source and the plan made from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq import utils
from fairseq.tasks import FairseqTask

from ...data_shards import folder_per_shard
from ...flags import Range, at_least, flag, range_problems
from ...losses.dense import TEMPERATURE_WORDS, TEMPERATURES
from ...output_file import parent_problem
from ...problems import Problems
from ...protocols import Prediction
from ..mapped import MappedTeacher, draws_problem
from ..online import OnlineTeacher, load_models
from .builder import expected_bytes
from .draws import most_draws
from .fingerprint import data_fingerprint, file_digest
from .header import Plan
from .layout import DRAWS, LPROBS, TOP_K, VALUES, Layout
from .source import Source, batching_of, load_split, place

DEFAULT_K, DEFAULT_TOKENS = 32, 4096
BLOCK_TOKENS, MOST_FILES = 2**17, 10_000
TEMPERATURE = Range(TEMPERATURE_WORDS, *TEMPERATURES)


@dataclass(frozen=True)
class CacheRequest:
    """Flags of `lightpaff cache-teacher`, in addition to those of fairseq and `Shard`."""

    path: str = flag(
        "fairseq checkpoint of the teacher; several, joined by colons: the mean of their "
        "probabilities",
        metavar="FILE",
    )
    out: Path = flag(
        "folder of the cache; for DATA of several folders one per folder, joined by colons",
        metavar="FOLDER",
    )
    topk: int | None = flag(
        f"tokens stored per position (default: {DEFAULT_K}; kd_lu: all classes)",
        None,
        metavar="K",
        expected=at_least(1),
    )
    sample: int | None = flag(
        "store N draws per position from the teacher's whole distribution, instead of its most "
        "probable tokens: unbiased, and smaller; for --kd-divergence forward_kl and skew_kl",
        None,
        metavar="N",
        expected=at_least(1),
    )
    split: str = flag("split of the data (default: %(default)s)", "train", metavar="NAME")
    epochs: int = flag(
        "number of epochs to store, each with its own masks, for kd_mlm and kd_mssm, or with its "
        "own draws, with --sample (default: 1); of DATA of several folders, all together",
        1,
        metavar="N",
        expected=at_least(1),
    )
    temperature: float = flag(
        "--kd-temperature of the training run, if it uses --kd-tail ghost or --sample (default: 1)",
        1.0,
        metavar="T",
        expected=TEMPERATURE,
    )
    block_tokens: int | None = flag(
        "tokens per file, at most one of which a stopped run loses (default: "
        f"{BLOCK_TOKENS}, or more if that would be over {MOST_FILES:,} files)",
        None,
        metavar="N",
        expected=at_least(1),
    )

    def problems(self) -> Problems:
        """Return a message for every value out of range."""
        problems = Problems(range_problems(self))
        problems.extend(parent_problem(Path(x), "--out") for x in str(self.out).split(":"))
        problems.unless(
            self.sample is None or self.topk is None,
            f"--sample {self.sample}: --topk {self.topk} is set too; set only one of them",
        )
        return problems


@dataclass(frozen=True)
class CacheJob:
    """The cache of one folder of DATA.

    Attributes:
        out: its folder; source: of the outputs; plan: of the cache.
        positions, per_position: estimates of the predicted positions and the bytes of each.
    """

    out: Path
    source: Source
    plan: Plan
    positions: int
    per_position: float

    @property
    def size(self) -> int:
        """Estimate of the cache's bytes."""
        return expected_bytes(self.plan, self.positions, self.per_position)


def make_jobs(
    cfg: Any, task: FairseqTask, prediction: Prediction, request: CacheRequest
) -> list[CacheJob]:
    """Load the teacher, and plan a cache per folder of DATA.

    Args:
        cfg: fairseq's configuration.
        task, prediction: of the distillation criterion.
    Raises:
        ValueError: there is no such split, or a teacher cannot be used; or a folder is in no epoch.
    """
    folders = folder_per_shard("--out", request.out, cfg.task.data)
    has_own_epochs = prediction.masks_differ_by_epoch or request.epochs > 1
    if has_own_epochs and request.epochs < len(folders):
        raise ValueError(
            f"--epochs {request.epochs}: expected {len(folders)} or more, one per folder of DATA"
        )
    teacher = _load_teacher(cfg, task, prediction, request)
    batching = batching_of(cfg.dataset, DEFAULT_TOKENS)
    jobs = []
    for number, out in enumerate(folders, 1):
        load_split(task, request.split, number)
        source = Source(task, request.split, prediction, teacher, batching, seed=cfg.common.seed)
        vocab, share = source.probe()
        epochs = range(number, request.epochs + 1, len(folders))
        plan = make_plan(source, request, vocab, epochs)
        positions = int(share * source.tokens.sum()) * max(1, plan.epochs)
        each = source.bytes_per_position(plan.layout)
        jobs.append(CacheJob(out, source, plan, positions, each))
    return jobs


def _load_teacher(
    cfg: Any, task: FairseqTask, prediction: Prediction, request: CacheRequest
) -> OnlineTeacher | MappedTeacher:
    """Load the teacher, on its device.

    Raises:
        ValueError: a flag does not fit the criterion, or a teacher cannot be used.
    """
    if request.epochs > 1 and not (prediction.masks_differ_by_epoch or request.sample):
        raise ValueError(
            f"--epochs {request.epochs}: expected 1, since the samples of {cfg.criterion._name} "
            "are the same in every epoch"
        )
    if request.sample and not prediction.output_depends_on_labels:
        raise ValueError(
            f"--sample {request.sample}: expected a criterion whose labels are tokens, got "
            f"{cfg.criterion._name}, of which all classes are stored"
        )
    teacher: OnlineTeacher | MappedTeacher
    if cfg.criterion.kd_vocabulary_map is not None:
        teacher = MappedTeacher(cfg.criterion, prediction, task, flag="--path")
        problem = draws_problem(teacher.tokens, teacher.named) if request.sample else None
        Problems([problem]).raise_if_any()
    else:
        data = cfg.criterion.kd_teacher_data
        models = load_models(request.path, data, prediction, task, flag="--path")
        teacher = OnlineTeacher(models, prediction, task)
    for model in teacher.models:
        place(model, cfg.common)
    return teacher


def make_plan(source: Source, request: CacheRequest, vocab: int, epochs: range) -> Plan:
    """Plan the cache of a teacher that predicts `vocab` tokens or classes.

    Args:
        epochs: those to store, if samples differ by epoch.
    Raises:
        ValueError: --topk or --temperature does not fit the teacher.
    """
    prediction = source.prediction
    complete = not prediction.output_depends_on_labels  # classifiers: all classes
    k = request.topk or (vocab if complete else min(DEFAULT_K, vocab))
    if k > vocab or (complete and k != vocab):
        expected = f"all {vocab} classes" if complete else f"at most the vocabulary, {vocab} tokens"
        raise ValueError(f"--topk {k}: expected {expected}")
    values = prediction.is_regression
    if values and request.temperature != 1:
        raise ValueError(f"--temperature {request.temperature}: expected 1 for a regression")
    content = VALUES if values else LPROBS if k == vocab else TOP_K
    layout = Layout(content, vocab, k, request.temperature)
    own_epochs = prediction.masks_differ_by_epoch
    seed = {}
    if request.sample is not None:
        layout, own_epochs = _draws_layout(request, vocab), own_epochs or request.epochs > 1
        seed = {"seed of the draws": source.seed}
    epochs = epochs if own_epochs else range(1, 1)
    data, own = source.teacher.entries
    digests = ":".join(file_digest(Path(path)) for path in request.path.split(":"))
    precision = str(next(source.teacher.model.parameters()).dtype)
    return Plan(
        layout=layout,
        data=data_fingerprint(source.task, source.split, prediction) | data,
        teacher={"SHA-256 of the teacher": digests, "precision": precision, **seed, **own},
        epochs=len(epochs),
        max_positions=utils.resolve_max_positions(source.max_positions),
        bounds=_bounds(source, request, max(1, len(epochs))),
        first_epoch=epochs.start,
        epoch_step=epochs.step,
    )


def _draws_layout(request: CacheRequest, vocab: int) -> Layout:
    """Return the layout of --sample.

    Raises:
        ValueError: the counts of so many draws do not fit into three bytes.
    """
    draws, most = request.sample or 0, most_draws(vocab)
    if draws > most:
        raise ValueError(f"--sample {draws}: expected at most {most} for {vocab} tokens")
    return Layout(DRAWS, vocab, draws, request.temperature)


def _bounds(source: Source, request: CacheRequest, epochs: int) -> list[int]:
    """Return the bounds of blocks of --block-tokens, of which a folder can take all files.

    Raises:
        ValueError: there would be more than `MOST_FILES`.
    """
    tokens = int(source.tokens.sum()) * epochs
    # blocks may be half empty: one ends where the next sample is too long for it
    block_tokens = request.block_tokens or max(BLOCK_TOKENS, -(-2 * tokens // MOST_FILES))
    bounds = source.bounds(block_tokens)
    files = (len(bounds) - 1) * epochs
    if files > MOST_FILES:
        raise ValueError(
            f"--block-tokens {block_tokens} with --epochs {epochs}: expected at most "
            f"{MOST_FILES:,} files in a folder, got {files:,}; raise --block-tokens"
        )
    return bounds
