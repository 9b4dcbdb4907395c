"""Decoding what is not decoded yet, and making the student's data of what is."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.output_folder import folder_beside
from ..teachers.cache.builder import Shard
from .choose import Choice, Chooser, similarity
from .corpus import checksum
from .decode import Decoder
from .job import Job, make_decoder
from .mix import original_pairs
from .output import DataFolder
from .plan import as_json, block_name, check_claim, claim
from .store import read_block, write_block

Say = Callable[[str], None]
INTERVAL = 20  # seconds between two lines of progress within a block


@dataclass(frozen=True)
class Recipe:
    """How hypotheses become a data folder.

    Attributes:
        choice: what is taken of them; metric: by which they are compared with references.
        mix: share of original pairs; seed: of which; overwrite: what is in the way.
    """

    choice: Choice
    metric: str
    mix: float
    seed: int
    overwrite: bool


def decode(job: Job, folder: Path, shard: Shard, say: Say) -> int:
    """Computes the blocks of a shard that are not in the folder yet.

    The teacher is loaded only if there are any, and the folder made only if it could be.

    Returns:
        the number of blocks, of any shard, that are still missing.
    Raises:
        ValueError: the folder is of another plan or cannot be written, or the teacher cannot be
            used; finished blocks stay, nothing half done does.
    """
    check_claim(folder, job.plan)
    own = job.plan.blocks[shard.index :: shard.count]
    todo = [block for block in own if not (folder / block_name(block[0])).is_file()]
    if len(todo) < len(own):
        say(f"{len(own) - len(todo)} of {len(own)} blocks are there already")
    if todo:
        decoder = make_decoder(job)
        claim(folder, job.plan)
        _decode_blocks(decoder, folder, todo, say)
    return sum(not (folder / block_name(first)).is_file() for first, _ in job.plan.blocks)


class Progress:
    """Tells how far decoding is: after every block, and in between every `INTERVAL` seconds."""

    def __init__(self, todo: int, say: Say) -> None:
        self.todo, self.say = todo, say
        self.begin = self.told = time.perf_counter()

    def within(self, before: int, sentences: int) -> None:
        """Of the block that is being decoded, after so many sentences of blocks before it."""
        if time.perf_counter() - self.told >= INTERVAL:
            self.tell(before + sentences, "")

    def tell(self, sentences: int, prefix: str) -> None:
        """One line, with the speed so far and the time left."""
        self.told = time.perf_counter()
        seconds = self.told - self.begin
        left = seconds / sentences * (self.todo - sentences)
        self.say(
            f"{prefix}{sentences:,} of {self.todo:,} sentences, {sentences / seconds:,.1f} a "
            f"second, about {left:,.0f} s left"
        )


def _decode_blocks(decoder: Decoder, folder: Path, todo: list[tuple[int, int]], say: Say) -> None:
    sentences, progress = 0, Progress(sum(count for _, count in todo), say)
    for done, (first, count) in enumerate(todo, start=1):
        answers = decoder.answers(first, count, partial(progress.within, sentences))
        try:
            write_block(folder / block_name(first), answers)
        except OSError as error:
            raise ValueError(
                f"--hypotheses {folder}: cannot be written: {error}; {done - 1} blocks of this run "
                "are complete, the same command continues"
            ) from error
        sentences += count
        progress.tell(sentences, f"block {done}/{len(todo)}: ")


def assemble(job: Job, folder: Path, out: Path, recipe: Recipe) -> dict[str, Any]:
    """Makes the student's data of complete hypotheses.

    Returns:
        what is in it, as it is written to its `seq_kd.json`.
    Raises:
        ValueError: a block is damaged or belongs to other sources, nothing is left over, or the
            folder cannot be written.
    """
    source, target = job.dictionaries
    similar = similarity(recipe.metric, target, job.cfg.common_eval.post_process)
    special = {target.bos(), target.pad(), target.eos()}
    chooser = Chooser(recipe.choice, (len(target), special), job.corpus, similar)
    try:
        with folder_beside(out) as made:
            data = DataFolder(job.corpus.place, out, (len(source), len(target)), made)
            lengths = _add_distilled(job, folder, chooser, data)
            if not sum(lengths["hypotheses"].values()):
                raise ValueError(f"--out {out}: no hypothesis is left: {dict(chooser.dropped)}")
            report = _report(job, recipe, chooser, lengths)
            report["pairs"]["original"] = _add_originals(job, recipe, data)
            data.close(job.corpus, report, recipe.overwrite)
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written: {error}") from error
    for leftover in folder.glob("*.tmp"):  # of runs that were killed
        leftover.unlink(missing_ok=True)
    return report


def _add_distilled(
    job: Job, folder: Path, chooser: Chooser, data: DataFolder
) -> dict[str, Counter[int]]:
    """Adds the pairs of all blocks.

    Returns:
        how many sources and hypotheses that were added have a length, in symbols without eos.
    """
    eos = job.dictionaries[1].eos()
    lengths: dict[str, Counter[int]] = {"sources": Counter(), "hypotheses": Counter()}
    for first, count in job.plan.blocks:
        path = folder / block_name(first)
        for index, answer in enumerate(read_block(path, count), start=first):
            source = job.corpus.source(index)
            if checksum(source) != answer.source:
                raise ValueError(
                    f"{path}: sentence {index} is another text than when it was decoded; delete "
                    f"{folder} and decode again"
                )
            for symbols in chooser.targets(index, answer):
                data.add(index, source, np.append(symbols, eos))
                lengths["sources"][len(source) - 1] += 1
                lengths["hypotheses"][len(symbols)] += 1
    return lengths


def _add_originals(job: Job, recipe: Recipe, data: DataFolder) -> int:
    distilled, corpus = len(data.written.origin), job.corpus
    chosen = original_pairs(distilled, len(corpus), recipe.mix, recipe.seed)
    for index in chosen.tolist():
        data.add(index, corpus.source(index), corpus.reference(index))
    return len(chosen)


def _report(
    job: Job, recipe: Recipe, chooser: Chooser, lengths: dict[str, Counter[int]]
) -> dict[str, Any]:
    means = {
        name: round(sum(n * k for n, k in found.items()) / sum(found.values()), 2)
        for name, found in lengths.items()
    }
    return {
        "hypotheses": as_json(job.plan),
        "recipe": {
            **asdict(recipe.choice),
            "metric": recipe.metric,
            "post_process": job.cfg.common_eval.post_process,
            "mix": recipe.mix,
            "seed": recipe.seed,
        },
        "sentences": len(job.corpus),
        "pairs": {"distilled": sum(lengths["hypotheses"].values())},
        "dropped": dict(sorted(chooser.dropped.items())),
        "mean length": means,
    }
