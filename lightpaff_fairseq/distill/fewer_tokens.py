"""`--keep-tokens`: cut the vocabulary of teachers and data first, by `lightpaff trim-vocab`.

The plan needs the cut files, to count parameters and to time trainings. They are made twice: in a
temporary folder for the plan, which may be printed alone, and in OUT, as steps.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..data_shards import data_shards, shard_names
from ..flags import add_flags, parse_flags
from ..huggingface.conversion import MODEL
from ..huggingface.tokenizers import PIECES
from ..problems import as_value_error
from ..trimming.job import NO_FILES, Trimmed, trim
from ..trimming.rebinarize import Rewritten, rebinarize
from ..trimming.trim_request import TrimRequest
from .choices import Choice
from .settings import DistillSettings, tokens_to_keep
from .sources import Sources, read_sources, read_teacher
from .steps import LIGHTPAFF, Step

COMMAND = (LIGHTPAFF, "trim-vocab")
TRIMMED, TRIMMED_DATA = "trimmed", "trimmed_data"
TRIMMED_PRETRAINED, TRIMMED_TEXT = "trimmed_pretrained", "trimmed_text"


@dataclass(frozen=True)
class Cut:
    """Teachers and data with fewer tokens.

    Attributes:
        sources: in a temporary folder.
        choices: for the plan.
        minutes: that cutting them took.
    """

    sources: Sources
    choices: tuple[Choice, ...] = ()
    minutes: float = 0.0


@contextmanager
def fewer_tokens(settings: DistillSettings, whole: Sources) -> Iterator[Cut]:
    """Cut teachers and data into a temporary folder; without --keep-tokens, yield them uncut.

    Raises:
        ValueError: the vocabulary cannot be cut to so many tokens.
    """
    keep = settings.keep_tokens
    if keep is None:
        yield Cut(whole)
        return
    with tempfile.TemporaryDirectory() as folder:
        with as_value_error(f"--keep-tokens {keep}", ValueError):
            begin = time.perf_counter()
            made = [_run(step) for step in trimming_steps(settings, Path(folder))]
            files = files_in(settings, Path(folder))
            small = read_sources(files, read_teacher(files))
            minutes = (time.perf_counter() - begin) / 60
        teacher = replace(small.teacher, full_params=whole.teacher.params)
        yield Cut(replace(small, teacher=teacher), (_describe(whole, small, made),), minutes)


def files_in(settings: DistillSettings, root: Path) -> DistillSettings:
    """Return settings that name the cut files in a folder; without --keep-tokens, the same."""
    if settings.keep_tokens is None:
        return settings
    return replace(
        settings,
        teacher=root / TRIMMED / MODEL,
        data=_joined(root, TRIMMED_DATA, settings.data),
        pretrained_teacher=settings.pretrained_teacher and root / TRIMMED_PRETRAINED / MODEL,
        text=settings.text and _joined(root, TRIMMED_TEXT, settings.text),
        sentencepiece_model=settings.sentencepiece_model and root / TRIMMED / PIECES,
        tokenizer=settings.tokenizer and root / TRIMMED,
    )


def _joined(root: Path, name: str, folders: Path | None) -> Path:
    return Path(":".join(str(root / folder) for folder in shard_names(name, folders)))


def trimming_steps(settings: DistillSettings, root: Path, minutes: float = 0.0) -> tuple[Step, ...]:
    """Return the steps that write the cut files into a folder; without --keep-tokens, none.

    Args:
        minutes: estimate for all of them.
    """
    if settings.keep_tokens is None:
        return ()
    tokenizer = settings.tokenizer or settings.sentencepiece_model
    like = ("--like", str(root / TRIMMED))
    words = ("--path", str(settings.teacher), "--data", *data_shards(settings.data))
    words += tokens_to_keep(settings.keep_tokens) or ()
    words += ("--tokenizer", str(tokenizer)) if tokenizer else ()
    cuts = [(TRIMMED, "Cut the teacher's vocabulary", words)]
    for folder, name in zip(
        data_shards(settings.data), shard_names(TRIMMED_DATA, settings.data), strict=True
    ):
        cuts.append((name, "Rewrite the data with these tokens", (*like, "--rebinarize", folder)))
    if settings.pretrained_teacher is not None:
        words = (*like, "--path", str(settings.pretrained_teacher))
        cuts.append((TRIMMED_PRETRAINED, "Cut the pre-trained teacher's vocabulary alike", words))
        for folder, name in zip(
            data_shards(settings.text), shard_names(TRIMMED_TEXT, settings.text), strict=True
        ):
            words = (*like, "--rebinarize", folder)
            cuts.append((name, "Rewrite the text of pre-training with these tokens", words))
    return tuple(
        Step(name, title, (*COMMAND, *words, "--out", str(root / name)), name, minutes / len(cuts))
        for name, title, words in cuts
    )


def _run(step: Step) -> Trimmed | Rewritten:
    parser = argparse.ArgumentParser()
    add_flags(parser, TrimRequest)
    request = parse_flags(parser.parse_args(step.command[len(COMMAND) :]), TrimRequest)
    return rebinarize(request) if request.rebinarize else trim(request)


def _describe(whole: Sources, small: Sources, made: list[Trimmed | Rewritten]) -> Choice:
    """Describe what was cut, and what became of the data."""
    trimmed, *others = made
    assert isinstance(trimmed, Trimmed)
    data = [x for x in others if isinstance(x, Rewritten)][: len(small.data.folders)]
    unknown, respelled = sum(x.unknown for x in data), sum(x.respelled for x in data)
    shares = " and ".join(f"{100 * share:.1f}%" for share in trimmed.coverage.values())
    share = respelled / sum(x.sentences for x in data)
    if NO_FILES in trimmed.notes:
        others_are = f"<unk> ({unknown:,}): no tokenizer was found, see --tokenizer"
    else:
        others_are = f"spelled with these, in {share:.0%} of the sentences"
        others_are += f", {unknown:,} times with <unk>" if unknown else ""
    return Choice(
        "vocabulary",
        f"{small.teacher.vocabulary:,} of {whole.teacher.vocabulary:,} tokens, with which the "
        f"teacher has {small.teacher.params:,} parameters",
        f"They make up {shares} of the training data's tokens; the others are {others_are}",
        "--keep-tokens, --tokenizer",
    )
