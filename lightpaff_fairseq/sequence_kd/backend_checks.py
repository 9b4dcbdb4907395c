"""What --backend ctranslate2 does not support, found before any work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..export.export_formats import FORMATS, package_problem
from ..export.loaded_model import TRANSLATION, inspect_checkpoint
from ..problems import Problems
from .seq_kd_request import CTRANSLATE2, SeqKdRequest

FAIRSEQ_ONLY = "use --backend fairseq"
# fairseq's flag -> the value that both backends share, and how CTranslate2 differs.
DIFFERENT = {
    "sampling": (False, "draws samples that a stopped run cannot repeat"),
    "temperature": (1, "has none in a beam search"),
    "prefix_size": (0, "scores hypotheses without the prefix"),
    "no_repeat_ngram_size": (0, "renormalizes the probabilities of the other tokens"),
    "unkpen": (0, "has no such penalty"),
    "match_source_len": (False, "has no such search"),
    "diverse_beam_groups": (-1, "has no such search"),
    "diversity_rate": (-1, "has no such search"),
    "retain_dropout": (False, "has no dropout"),
}


def backend_problems(cfg: Any, request: SeqKdRequest) -> Problems:
    """Return a message for everything that the backend does not support.

    Raises:
        ValueError: the checkpoint cannot be read.
    """
    if request.backend != CTRANSLATE2:
        return Problems()
    problems = Problems([package_problem(CTRANSLATE2, "--backend"), *_flag_problems(cfg)])
    problems.extend(_teacher_problems(cfg, request.path))
    return problems


def _flag_problems(cfg: Any) -> Iterator[str]:
    for name, (shared, difference) in DIFFERENT.items():
        value = cfg.generation[name]
        if value != shared:
            named = f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")
            yield f"{named}: CTranslate2 {difference}; {FAIRSEQ_ONLY}"
    if cfg.common.fp16:
        yield f"--fp16: --backend ctranslate2 searches in float32; {FAIRSEQ_ONLY}"


def _teacher_problems(cfg: Any, path: str) -> Iterator[str]:
    if ":" in path:
        yield f"--path {path}: --backend ctranslate2 does not support ensembles; {FAIRSEQ_ONLY}"
        return
    if cfg.task._name != TRANSLATION:
        yield (
            f"--task {cfg.task._name}: --backend ctranslate2 supports --task translation, without "
            f"language tokens; {FAIRSEQ_ONLY}"
        )
    if not Path(path).is_file():
        return  # said later, for both backends
    info = inspect_checkpoint(Path(path))
    pairs = FORMATS[CTRANSLATE2].models
    if (info.family, info.task) not in pairs:
        supported = ", ".join(family for family, task in pairs if task == TRANSLATION)
        yield (
            f"--path {path}: --backend ctranslate2 does not support a {info.family} model of "
            f"--task {info.task} (supported: {supported} of --task {TRANSLATION}); {FAIRSEQ_ONLY}"
        )
