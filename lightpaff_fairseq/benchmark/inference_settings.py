"""Flags of `lightpaff benchmark inference`, for trained and random models."""

from dataclasses import dataclass
from pathlib import Path

from ..export.engines import Search
from ..export.loaded_model import TRANSLATION
from ..fairseq_flags import post_process_problem
from ..flags import at_least, flag, range_problems
from ..problems import Problems
from .benchmark_run import DeviceFlags
from .inference_backends import BACKENDS
from .random_models import TASK_FLAGS
from .step_sizes import SMALLEST_VOCAB


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(DeviceFlags):
    """Flags for trained and random models."""

    task: str = flag(
        "task of both models (default: %(default)s)", TRANSLATION, choices=tuple(TASK_FLAGS)
    )
    sentences: int = flag(
        "number of sentences, from the beginning of the split; 0 = all (default: %(default)s)",
        500,
        metavar="N",
        expected=at_least(0),
    )
    latency_sentences: int = flag(
        "number of these to run one by one, for latency (default: %(default)s)",
        50,
        metavar="N",
        expected=at_least(1),
    )
    batch: int = flag(
        "sentences per batch, for throughput (default: %(default)s)",
        64,
        metavar="N",
        expected=at_least(1),
    )
    beam: int = flag(
        "beam size of translation (default: %(default)s)", 5, metavar="N", expected=at_least(1)
    )
    backends: tuple[str, ...] = flag(
        "libraries to compare with fairseq, which support the student; the teacher is timed with "
        "those of them that support it (default: all that support the models)",
        (),
        nargs="+",
        choices=tuple(BACKENDS),
    )
    remove_bpe: str | None = flag(
        "for BLEU, as in fairseq (default: guessed from the dictionary)", None, metavar="KIND"
    )
    memory: bool = flag("also measure peak memory, in a fresh process per variant", False)
    repeats: int = flag(
        "rounds of timing (default: %(default)s)", 3, metavar="N", expected=at_least(1)
    )


@dataclass(frozen=True, kw_only=True)
class TrainedModels:
    """Trained models and their data."""

    teacher: Path | None = flag(
        "fairseq checkpoint of the teacher; strip it first, the table shows the file size",
        None,
        metavar="FILE",
    )
    student: Path | None = flag("fairseq checkpoint of the student", None, metavar="FILE")
    data: Path | None = flag("binarized data of both models", None, metavar="DIR")
    subset: str = flag(
        "split of --data (default: %(default)s)", "test", name="--gen-subset", metavar="SPLIT"
    )
    peer: tuple[str, ...] = flag(
        "translation models to time as well, from text to text: folders of CTranslate2 or of "
        "Hugging Face; a SentencePiece model that is not in its folder as DIR=FILE. A folder of "
        "lightpaff export runs with the beam of its use.py, others with --beam (default: none)",
        (),
        nargs="+",
        metavar="DIR",
    )


@dataclass(frozen=True, kw_only=True)
class InferenceProblem(InferenceSettings):
    """Two models, their data, and the settings of the benchmark.

    Attributes:
        teacher, student: checkpoints; `data`: their dictionaries and the split `subset`.
        peer: words of --peer, see `find_peers`.
        quality: also score the outputs.
    """

    teacher: Path
    student: Path
    data: Path
    subset: str
    search: Search
    peer: tuple[str, ...] = ()
    quality: bool = True

    def problems(self) -> Problems:
        """Return the problems with the flags."""
        problems = super().problems()
        problems.unless(self.data.is_dir(), f"--data {self.data}: no such folder")
        return problems


@dataclass(frozen=True, kw_only=True)
class RandomModels:
    """Untrained models and random text."""

    random: bool = flag("time untrained models", False)
    teacher_arch: str | None = flag(
        "architecture of the teacher, and its model flags, in quotes", None, metavar="FLAGS"
    )
    student_arch: str | None = flag("the same for the student", None, metavar="FLAGS")
    vocab: int = flag(
        "size of the vocabulary (default: %(default)s)",
        32000,
        metavar="N",
        expected=at_least(SMALLEST_VOCAB),
    )
    length: int = flag(
        "tokens per sentence and per translation (default: %(default)s)",
        32,
        metavar="N",
        expected=at_least(2),
    )


def check_models(settings: InferenceSettings, trained: TrainedModels, random: RandomModels) -> None:
    """Check that either trained or random models are given.

    Raises:
        ValueError: lists all flags that are missing, have no effect, or are out of range.
    """
    problems = Problems(range_problems(settings))
    problems.extend([post_process_problem("--remove-bpe", settings.remove_bpe)])
    mode = "with" if random.random else "without"
    groups: dict[bool, dict[str, Path | str | None]] = {
        False: {"teacher": trained.teacher, "student": trained.student, "data": trained.data},
        True: {"teacher-arch": random.teacher_arch, "student-arch": random.student_arch},
    }
    for is_random, flags in groups.items():
        is_needed = is_random == random.random
        text = "is needed" if is_needed else "has no effect"
        for name, value in flags.items():
            problems.unless((value is None) != is_needed, f"--{name}: {text} {mode} --random")
    if trained.peer:
        problems.unless(not random.random, "--peer: has no effect with --random")
        problems.unless(
            settings.task == TRANSLATION,
            f"--peer: expected --task {TRANSLATION}, got {settings.task}",
        )
    if random.random:
        problems.extend([at_least(1).problem("--sentences", settings.sentences)])
    else:
        for name in ("teacher", "student"):
            path = groups[False][name]
            problems.unless(
                path is None or Path(path).is_file(),
                f"--{name} {path}: no such file (expected a fairseq checkpoint)",
            )
    problems.extend(range_problems(random))
    problems.raise_if_any()
