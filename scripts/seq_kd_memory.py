"""Print the memory that `lightpaff seq-kd` allocates per pair, on synthetic pairs.

`python scripts/seq_kd_memory.py 200000` reads data, plans, and writes pairs of hypotheses that no
teacher has decoded. Mapped files are not counted, since the system can drop their pages.
"""

import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
from fairseq.data import Dictionary
from fairseq.data.indexed_dataset import MMapIndexedDataset

from lightpaff_fairseq.megabytes import MEGABYTE
from lightpaff_fairseq.sequence_kd.assemble import assemble
from lightpaff_fairseq.sequence_kd.corpus import checksum
from lightpaff_fairseq.sequence_kd.hypotheses import Hypotheses, Hypothesis, write_block
from lightpaff_fairseq.sequence_kd.job import Job, make_job
from lightpaff_fairseq.sequence_kd.seq_kd_request import SeqKdRequest, fairseq_config

LENGTH, WORDS = 8, 100


def write_data(folder: Path, count: int) -> None:
    """Write a training set of pairs of one sentence, and its dictionaries."""
    dictionary = Dictionary()
    for number in range(WORDS):
        dictionary.add_symbol(f"w{number}")
    sentence = np.array([*range(4, 4 + LENGTH), dictionary.eos()], np.uint16)
    for side in ("sv", "en"):
        dictionary.save(str(folder / f"dict.{side}.txt"))
        prefix = folder / f"train.sv-en.{side}"
        np.tile(sentence, count).tofile(f"{prefix}.bin")
        with MMapIndexedDataset.Index.writer(f"{prefix}.idx", np.uint16) as index:
            index.write([len(sentence)] * count)


def write_hypotheses(job: Job, folder: Path) -> None:
    """Write blocks of one hypothesis per source."""
    job.plan.folder(folder).claim()
    hypothesis = Hypothesis(np.arange(4, 4 + LENGTH), -1.0, False)
    source = Hypotheses(checksum(job.corpus.source(0)), [hypothesis])
    for block in job.plan.blocks:
        write_block(folder / block.file, [source] * block.count, job.plan.checksum)


def main(count: int) -> None:
    """Measure, and print a line per step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, count)
        request = SeqKdRequest(path=str(folder / "dict.sv.txt"), out=folder / "out")
        cfg = fairseq_config([str(folder), "--cpu"], request)
        tracemalloc.start()
        job = make_job(cfg, request)
        print_memory("data and plan", count)
        write_hypotheses(job, folder / "hypotheses")
        report = assemble(job, folder / "hypotheses")
        assert report["pairs"]["distilled"] == count
        print_memory("all pairs written", count)


def print_memory(step: str, count: int) -> None:
    """Print what is allocated, and the most that was since the last call."""
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    print(
        f"{step}: {kept / count:.1f} bytes per pair, at most {peak / MEGABYTE:.0f} MB", flush=True
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
