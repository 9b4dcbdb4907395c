"""Propose the missing words, and write the augmented data once all are there."""

import json
import time
import zlib
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from ..block_progress import BlockProgress
from ..checkpoints.output_folder import folder_beside, put_in_place
from ..disk_errors import name_output
from ..sequence_kd.corpus import Tokens, checksum
from ..shards import Report, Shard
from ..teachers.cache.fingerprint import file_digest
from .augment_request import REPORT, AugmentRequest
from .labeled_data import LabeledData
from .proposals import FORMAT, Plan, Proposals, read_block, write_block
from .proposer import Proposer
from .sampling import Sampling
from .words import Words, words_of


@dataclass(frozen=True)
class Job:
    """Everything but the model, which is loaded only if proposals are missing."""

    request: AugmentRequest
    data: LabeledData
    words: Words
    plan: Plan


def make_job(request: AugmentRequest) -> Job:
    """Read the data, and plan the proposals.

    Raises:
        ValueError: the data are not those of `--task sentence_prediction`, or have too few words.
    """
    data = LabeledData(request.data, request.split)
    words = words_of(data.dictionary, request.gpt2_encoder_json)
    most = int(words.is_word.sum()) - 1
    if request.candidates > most:
        raise ValueError(
            f"--candidates {request.candidates}: expected at most {max(most, 0)}, the whole words "
            f"of {data.folder}'s dictionary but one"
        )
    sizes = np.ascontiguousarray(data.sizes, dtype=np.int64)
    symbols = "\n".join(data.dictionary.symbols).encode()
    plan = Plan(
        data={
            "split": request.split,
            "samples": data.samples,
            "tokens": int(sizes.sum()),
            "checksum of the samples' sizes": zlib.crc32(sizes.tobytes()),
            "dictionary": f"{len(data.dictionary)} symbols, {zlib.crc32(symbols):08x}",
        },
        model={
            "--path": file_digest(request.path)[:16],
            "--mask-share": request.mask_share,
            "--fp16": request.fp16,
        },
        samples=data.samples,
        inputs=len(data.inputs),
        block_size=request.block_size,
        candidates=request.candidates,
    )
    return Job(request, data, words, plan)


def propose(job: Job, shard: Shard, report: Report) -> int:
    """Propose words for the missing blocks of a shard.

    Returns:
        the number of blocks of all shards that are still missing.
    Raises:
        ValueError: the folder belongs to another plan or cannot be written, or the model cannot
            be used; finished blocks stay, no file is incomplete.
    """
    folder = job.plan.folder(job.request.proposals_folder)
    folder.check()
    blocks = folder.missing(shard, report)
    if blocks:
        proposer = Proposer(job.request, job.data, job.words)
        folder.claim()
        progress = BlockProgress("augment", [block.count for block in blocks], "sentences")
        write = partial(write_block, plan=job.plan.checksum)
        with folder.only_run(shard):
            folder.fill(blocks, proposer.propose, write, progress)
        seconds = time.perf_counter() - progress.line.begin
        count = sum(block.count for block in blocks)
        report(f"proposed words for {count:,} sentences, {count / seconds:,.1f} per second")
    return len(folder.missing())


def assemble(job: Job) -> dict[str, Any]:
    """Write the augmented data to --out.

    Returns:
        the content of `augment.json`.
    Raises:
        ValueError: a block is corrupt or belongs to other sentences, or the folder cannot be
            written.
    """
    request = job.request
    sampling = Sampling(request.copies, request.probability, request.seed)
    samples: list[tuple[int, list[Tokens]]] = []
    fixed = words = 0
    for number, (sentences, proposals) in enumerate(_proposed(job)):
        copies = sampling.copies_of(number, sentences, proposals)
        samples += [(number, sentences), *((number, copy) for copy in copies)]
        fixed += not copies
        words += sum(len(x.positions) for x in proposals)
    report = {
        "proposals": FORMAT.stamped(asdict(job.plan)),
        "sampling": asdict(sampling),
        "samples": {"before": job.data.samples, "after": len(samples), "without copies": fixed},
        "words that can be replaced": words,
    }
    text = json.dumps(report, indent=1) + "\n"
    with name_output("--out", request.out), folder_beside(request.out) as temporary:
        job.data.write(temporary, samples)
        (temporary / REPORT).write_text(text, encoding="utf-8")
        finished = request.out / REPORT
        if not (finished.is_file() and finished.read_text(encoding="utf-8") == text):
            request.output_folder.check(request.force)  # another process may have written it
            put_in_place(temporary, request.out)
    job.plan.folder(request.proposals_folder).remove_temporary_files()
    return report


def _proposed(job: Job) -> Any:
    """Yield the sentences of every sample, and the proposals for each."""
    folder, inputs = job.request.proposals_folder, len(job.data.inputs)
    for block in job.plan.blocks:
        stored = read_block(folder / block.file, block.count, job.plan)
        for i in range(0, block.count, inputs):
            sentences = [job.data.sentence(block.first + i + part) for part in range(inputs)]
            proposals: list[Proposals] = stored[i : i + inputs]
            if [checksum(x) for x in sentences] != [x.checksum for x in proposals]:
                raise ValueError(
                    f"{folder / block.file}: sample {(block.first + i) // inputs} has changed "
                    f"since words were proposed for it; delete {folder} and run the command again"
                )
            yield sentences, proposals
