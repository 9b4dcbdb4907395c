"""Whether to store the teacher's outputs, and whether to train on its translations."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

from ..checkpoints.building import value_of
from ..export.export_formats import model_problem, package_problem
from ..export.loaded_model import CheckpointInfo
from ..export.text_codec import PACKAGES, folder_codec
from ..export.word_alignment import aligner_problem
from ..huggingface.conversion import ENCODING
from ..megabytes import MEGABYTE
from ..teachers.cache.cache_request import DEFAULT_K
from .choices import ASKED, Choice
from .data_info import DataInfo
from .probe import Timings
from .schedule import LANGUAGE_MODELING, TRANSLATION, Rates
from .serving_commands import is_searched
from .settings import AUTO, NO, YES, DistillSettings
from .teacher_info import TeacherInfo

CTRANSLATE2, FAIRSEQ, ONNX = "ctranslate2", "fairseq", "onnx"
REPORT_PACKAGES = ("matplotlib", "jinja2")
BYTES_PER_POSITION = 4 * DEFAULT_K + 3  # of a teacher cache; see docs/performance.md
IN_EVERY_UPDATE = "the teacher runs in every update"
FREE = 1.2  # disk to have, over what a cache takes
WORTH = 1.5  # epochs from which a cache saves time


def choose_cache(
    settings: DistillSettings, data: DataInfo, rates: Rates, timings: Timings
) -> tuple[bool, Choice]:
    """Decide whether to run the teacher once over the data, or in every update.

    Raises:
        ValueError: `--cache yes`, and the disk is too small, or layers are compared.
    """
    impossible = _why_not_stored(settings)
    if impossible:
        return False, impossible
    size = data.amount.tokens * BYTES_PER_POSITION
    room = free_bytes(Path(str(settings.out)))
    is_worth = rates.epochs >= WORTH
    fits = size * FREE <= room
    if settings.cache == YES and not fits:
        raise ValueError(
            f"--cache yes: expected {size * FREE / MEGABYTE:,.0f} MB of free disk for --out, got "
            f"{room / MEGABYTE:,.0f} MB"
        )
    use = settings.cache == YES or (settings.cache == AUTO and is_worth and fits)
    saved = (timings.online - timings.plain) * (rates.updates - rates.per_epoch) / 60
    if use:
        value = f"stored before training, {size / MEGABYTE:,.0f} MB"
        reason = f"The teacher runs once instead of {rates.epochs:.1f} times: saves {saved:.0f} min"
    else:
        value = IN_EVERY_UPDATE
        reason = (
            ASKED
            if settings.cache == NO
            else "Less than two epochs"
            if not is_worth
            else f"A cache takes {size / MEGABYTE:,.0f} MB, free are {room / MEGABYTE:,.0f} MB"
        )
    return use, Choice("teacher output", value, reason, "--cache")


def _why_not_stored(settings: DistillSettings) -> Choice | None:
    """Return the choice of settings that cannot use a cache, or None."""
    if settings.kd_lambda == 0:
        return Choice("teacher output", "not used", "Lambda is 0", "--kd-lambda")
    if not matches_layers(settings.kd_flags):
        return None
    if settings.cache == YES:
        raise ValueError(
            "--cache yes: expected no intermediate losses in --kd-flags, which need the teacher's "
            f"layers, got {settings.kd_flags}"
        )
    reason = "Intermediate losses need its layers, which no cache has"
    return Choice("teacher output", IN_EVERY_UPDATE, reason, "--kd-flags")


def matches_layers(kd_flags: str) -> bool:
    """Return true if some flags have intermediate losses, which need the teacher's layers."""
    names = {word.split("=")[0] for word in kd_flags.split()} - {"--kd-output-weight"}
    return any(name.startswith("--kd-") and name.endswith("-weight") for name in names)


def free_bytes(out: Path) -> int:
    """Return the free bytes of the disk that will hold `out`."""
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_sequences(settings: DistillSettings, teacher: TeacherInfo) -> None:
    """Check that the teacher translates, if its translations are wanted.

    Raises:
        ValueError: `--sequence-kd yes` for another teacher.
    """
    if settings.sequence_kd == YES and teacher.task != TRANSLATION:
        raise ValueError(
            f"--sequence-kd yes: expected a teacher of the task {TRANSLATION}, got one of "
            f"{teacher.task}"
        )


def choose_tokenizer(
    settings: DistillSettings, teacher: TeacherInfo
) -> tuple[DistillSettings, list[Choice]]:
    """Find the teacher's tokenizer: given, beside it, or where its fine-tuning started.

    Raises:
        ValueError: use.py of the served student needs a package that is not installed, or the
            tokenizer has no effect.
    """
    reason, tokenizer = ASKED, settings.tokenizer
    if tokenizer is None and settings.sentencepiece_model is None:
        start = value_of(value_of(teacher.cfg, "checkpoint"), "finetune_from_model")
        for place in (teacher.path, *([Path(start)] if start else [])):
            if (place.parent / ENCODING).is_file():
                reason, tokenizer = f"Beside {place}", place.parent.absolute()
                break
    if tokenizer is None:
        is_text = settings.sentencepiece_model or not settings.serve.startswith(ONNX)
        reason = "use.py of the served student reads tokens, separated by spaces, instead of text"
        return settings, [] if is_text else [Choice("tokenizer", "none", reason, "--tokenizer")]
    if settings.serve.startswith(CTRANSLATE2) and settings.keep_tokens is None:
        if settings.tokenizer:
            raise ValueError(
                f"--tokenizer {tokenizer}: no effect with --serve {settings.serve} without "
                "--keep-tokens; --sentencepiece-model lets its use.py read text"
            )
        return settings, []
    if settings.serve.startswith(ONNX) and tokenizer.is_dir():
        packages = PACKAGES[folder_codec(tokenizer).kind]
        if lacking := [x for x in packages if importlib.util.find_spec(x) is None]:
            raise ValueError(
                f"--tokenizer {tokenizer}: the served student reads text by the package "
                f"{lacking[0]}: pip install {lacking[0]}, or --serve none"
            )
    choice = Choice("tokenizer", str(tokenizer), reason, "--tokenizer")
    return replace(settings, tokenizer=tokenizer), [choice]


def check_report() -> None:
    """Check that the report, the last step, can be written.

    Raises:
        ValueError: a package is not installed.
    """
    if lacking := [x for x in REPORT_PACKAGES if importlib.util.find_spec(x) is None]:
        raise ValueError(
            f"lightpaff distill ends with a report, which needs {' and '.join(lacking)}: "
            "pip install 'lightpaff-fairseq[plots]'"
        )


def check_tokens(settings: DistillSettings, teacher: TeacherInfo) -> None:
    """Check that students with fewer tokens can be compared with the teacher, if they are wanted.

    Raises:
        ValueError: `--keep-tokens` for a language model.
    """
    if settings.keep_tokens is not None and teacher.task == LANGUAGE_MODELING:
        raise ValueError(
            f"--keep-tokens {settings.keep_tokens}: expected a teacher that translates or "
            f"classifies, got one of {teacher.task}: perplexities over different tokens cannot be "
            "compared; cut teacher and data by lightpaff trim-vocab instead (docs/vocabulary.md)"
        )


def check_shortlist(settings: DistillSettings, task: str, serve: str) -> None:
    """Check that the format and its packages take a shortlist, if one is asked for.

    Raises:
        ValueError: another task or format, or no aligner.
    """
    if not settings.shortlist:
        return
    if not is_searched(task, serve):
        raise ValueError(
            f"--shortlist: expected a teacher of the task {TRANSLATION} and --serve {CTRANSLATE2}, "
            f"got one of {task} and --serve {serve}"
        )
    if problem := aligner_problem("--shortlist"):
        raise ValueError(problem)


def choose_sequences(
    settings: DistillSettings, teacher: TeacherInfo, data: DataInfo, rates: Rates, timings: Timings
) -> tuple[str | None, list[Choice]]:
    """Decide whether to train on the teacher's translations: if decoding takes less time.

    `--sequence-kd auto` needs a student that CTranslate2 serves: the plan has converted one to time
    it, so a teacher of the same architecture converts as well.

    Returns:
        the backend of `lightpaff seq-kd` that decodes them, or None.
    """
    if teacher.task != TRANSLATION:
        return None, []
    info = CheckpointInfo(teacher.path, {}, teacher.family, teacher.task, "--teacher")
    is_slow = package_problem(CTRANSLATE2) or model_problem(CTRANSLATE2, info)
    decoding = data.amount.samples / timings.speed.teacher  # in fairseq, so an upper limit
    training = rates.updates * timings.online
    converts = settings.serve.startswith(CTRANSLATE2) and not is_slow
    is_quick = converts and settings.kd_lambda > 0 and decoding < training
    if settings.sequence_kd == YES or (settings.sequence_kd == AUTO and is_quick):
        backend = FAIRSEQ if is_slow else CTRANSLATE2
        value = f"the teacher's translations, by {backend}"
        reason = "Gained 1 BLEU (docs/distill.md); decoding takes less time than the training"
    else:
        value, backend = "the data's own", None
        reason = "Decoding the teacher's translations takes longer than the training"
        if not converts:
            reason = "Only decoded where CTranslate2 serves the student, since fairseq is slow"
        if settings.kd_lambda == 0:
            reason = "Without distillation"
    reason = reason if settings.sequence_kd == AUTO else ASKED
    return backend, [Choice("targets", value, reason, "--sequence-kd")]
