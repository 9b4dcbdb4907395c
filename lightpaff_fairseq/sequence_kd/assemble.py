"""Decode the missing hypotheses, and assemble the student's data from all of them."""

import json
import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..block_progress import BlockProgress
from ..checkpoints.output_folder import folder_beside
from ..json_files import read_json
from ..shards import Report, Shard
from .choose import Chooser, similarity
from .corpus import checksum
from .data_folder import REPORT, DataFolder
from .hypotheses import FORMAT, read_block, write_block
from .job import Job
from .mix import original_pairs
from .search_sample import load_decoder


def decode(job: Job, path: Path, shard: Shard, report: Report) -> int:
    """Decode the missing blocks of a shard.

    The teacher is loaded only if a block is missing, and the folder created only after that.

    Returns:
        the number of blocks of all shards that are still missing.
    Raises:
        ValueError: the folder belongs to another plan or cannot be written, or the teacher cannot
            be used; finished blocks stay, no file is incomplete.
    """
    folder = job.plan.folder(path)
    folder.check()
    blocks = folder.missing(shard, report)
    if blocks:
        decoder = load_decoder(job, blocks, report)
        folder.claim()
        progress = BlockProgress("seq-kd", [block.count for block in blocks], "sentences")
        write = partial(write_block, plan=job.plan.checksum)
        with folder.only_run(shard):
            folder.fill(blocks, decoder.decode, write, progress)
        seconds = time.perf_counter() - progress.line.begin
        count = sum(block.count for block in blocks)
        report(f"decoded {count:,} sentences, {count / seconds:,.1f} per second")
    return len(folder.missing())


def assemble(job: Job, path: Path) -> dict[str, Any]:
    """Write the student's data to --out, from all blocks of hypotheses.

    Returns:
        the content of `seq_kd.json`.
    Raises:
        ValueError: a block is corrupt or belongs to other sources, no hypothesis remains, or the
            folder cannot be written.
    """
    request, (source, target) = job.request, job.dictionaries
    similar = similarity(request.choose_metric, target, job.cfg.common_eval.post_process)
    chooser = Chooser(request.choice(job.cfg.generation.nbest), target, job.corpus, similar)
    sizes = (len(source), len(target))
    try:
        with folder_beside(request.out) as temporary:
            data = DataFolder(job.corpus, request.out, sizes, temporary)
            lengths = _add_distilled(job, path, chooser, data)
            if not lengths["hypotheses"]:
                dropped = dict(chooser.dropped)
                raise ValueError(f"--out {request.out}: all hypotheses were dropped: {dropped}")
            report = _report(job, chooser, lengths)
            report["pairs"]["original"] = _add_originals(job, data)
            data.close(report, request.force)
    except OSError as error:
        raise ValueError(f"--out {request.out}: cannot be written: {error}") from error
    job.plan.folder(path).remove_temporary_files()
    return report


def is_assembled(job: Job) -> bool:
    """Return true if --out holds the data of this job already."""
    try:
        stored = read_json(job.request.out / REPORT)
    except ValueError:
        return False
    inputs = json.loads(json.dumps(_inputs(job)))
    return isinstance(stored, dict) and all(stored.get(k) == v for k, v in inputs.items())


def _add_distilled(
    job: Job, path: Path, chooser: Chooser, data: DataFolder
) -> dict[str, Counter[int]]:
    """Add the pairs of all blocks; return histograms of lengths in tokens without eos."""
    eos = job.dictionaries[1].eos()
    lengths: dict[str, Counter[int]] = {"sources": Counter(), "hypotheses": Counter()}
    for block in job.plan.blocks:
        file = path / block.file
        for index, stored in enumerate(
            read_block(file, block.count, job.plan.checksum), start=block.first
        ):
            source = job.corpus.source(index)
            if checksum(source) != stored.source:
                raise ValueError(
                    f"{file}: sentence {index} has changed since it was decoded; delete {path} and "
                    "decode again"
                )
            for tokens in chooser.targets(index, stored.hypotheses):
                data.add(index, source, np.append(tokens, eos))
                lengths["sources"][len(source) - 1] += 1
                lengths["hypotheses"][len(tokens)] += 1
    return lengths


def _add_originals(job: Job, data: DataFolder) -> int:
    distilled, corpus = data.pairs, job.corpus
    chosen = original_pairs(distilled, len(corpus), job.request.mix, job.cfg.common.seed)
    for index in map(int, chosen):
        data.add(index, corpus.source(index), corpus.reference(index))
    return len(chosen)


def _report(job: Job, chooser: Chooser, lengths: dict[str, Counter[int]]) -> dict[str, Any]:
    means = {
        name: round(sum(n * k for n, k in counts.items()) / counts.total(), 2)
        for name, counts in lengths.items()
    }
    return {
        **_inputs(job),
        "sentences": len(job.corpus),
        "pairs": {"distilled": lengths["hypotheses"].total()},
        "dropped": dict(sorted(chooser.dropped.items())),
        "mean length": means,
    }


def _inputs(job: Job) -> dict[str, Any]:
    """Return the part of the report that decides all others: the hypotheses and their choice."""
    request, cfg = job.request, job.cfg
    recipe = {
        **asdict(request.choice(cfg.generation.nbest)),
        "metric": request.choose_metric,
        "post_process": cfg.common_eval.post_process,
        "mix": request.mix,
        "seed": cfg.common.seed,
    }
    return {"hypotheses": FORMAT.stamped(asdict(job.plan)), "recipe": recipe}
