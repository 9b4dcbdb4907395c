"""Print how fast a student is served at the paper's size, next to its teacher in fairseq.

    python scripts/serving_speed.py                                # a Markdown table
    python scripts/serving_speed.py transformer_mass_student 60    # another student, other rules

Both models are untrained, with a vocabulary of 32,000; the teacher is `transformer_mass_teacher`.
The shortlist allows random target tokens per source token (20) and 100 more. Random tokens
hardly repeat, so a batch allows more of them than in real text. Greedy search computes no
scores, as in use.py. One thread, wall time, medians of 3 interleaved rounds; the teacher
translates 16 sentences once per round and batch size.
"""

import logging
import random
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from lightpaff_fairseq.benchmark.random_models import write_random_data, write_random_model
from lightpaff_fairseq.benchmark.synthetic_data import SPLIT
from lightpaff_fairseq.export import to_ctranslate2
from lightpaff_fairseq.export.engines import Engine, Search, fairseq_engine, limited
from lightpaff_fairseq.export.loaded_model import (
    TRANSLATION,
    LoadedModel,
    inspect_checkpoint,
    load_model,
)
from lightpaff_fairseq.export.sample_batches import split_samples
from lightpaff_fairseq.export.shortlist import ALWAYS, Shortlist
from lightpaff_fairseq.timing import interleaved_times, median_ratio

TEACHER, VOCABULARY, LENGTH, SENTENCES, ROUNDS = "transformer_mass_teacher", 32_000, 25, 16, 3
BATCHES = (1, 16)


def random_rules(words: list[str], targets: int) -> Shortlist:
    """Allow 100 tokens always, and random ones per source token."""
    draw = random.Random(1)
    rules = {(word,): draw.sample(words, targets) for word in words}
    return Shortlist({ALWAYS: words[:100], **rules})


def random_model(root: Path, arch: str) -> LoadedModel:
    """Write and load an untrained model."""
    path = write_random_model(root / f"{arch}.pt", root / "data", TRANSLATION, "ARCH", arch)
    return load_model(inspect_checkpoint(path), root / "data")


def engines(teacher: LoadedModel, student: LoadedModel) -> dict[str, Engine]:
    """Return the rows of the table by name."""
    search = partial(Search, longest=LENGTH, shortest=LENGTH, scores=False)
    served = to_ctranslate2.engine(student, student.info.path.parent / "out", Search(), "cpu")
    rows = {
        "teacher, fairseq, beam 5": fairseq_engine(teacher, search(5), "cpu"),
        "student, fairseq, beam 5": fairseq_engine(student, search(5), "cpu"),
    }
    for beam in (5, 1):
        for words, shortlist in (("", False), (", shortlist", True)):
            chosen = limited(search(beam, shortlist=shortlist), student)
            rows[f"student, int8, beam {beam}{words}"] = served.searching(chosen)
    return rows


def main(arch: str = "transformer_mass_6_2x384", targets: int = 20) -> None:
    """Export a random student and print a row per search."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("data", "out"):
            (root / folder).mkdir()
        sizes = {"vocab": VOCABULARY, "sentences": SENTENCES, "length": LENGTH}
        write_random_data(root / "data", TRANSLATION, sizes)
        teacher, student = random_model(root, TEACHER), random_model(root, arch)
        to_ctranslate2.write(student, root / "out", "int8")
        dictionary = student.task.target_dictionary
        random_rules(dictionary.symbols[dictionary.nspecial :], targets).write(root / "out")
        rows = engines(teacher, student)
        times = {}
        for batch in BATCHES:
            samples = split_samples(student, SPLIT, SENTENCES, batch)
            runs = {r: lambda e=e, s=samples: [e.run(x) for x in s] for r, e in rows.items()}
            times[batch] = interleaved_times(runs, ROUNDS)
    print("| model | one sentence | times faster | sentences/s, batches of 16 | times faster |")
    print("|---|---:|---:|---:|---:|")
    first = next(iter(rows))
    for row in rows:
        single, many = (times[batch][row] for batch in BATCHES)
        print(
            f"| {row} | {statistics.median(single) / SENTENCES * 1000:.1f} ms "
            f"| {median_ratio(times[1][first], single):.1f} "
            f"| {SENTENCES / statistics.median(many):.1f} "
            f"| {median_ratio(times[BATCHES[1]][first], many):.1f} |"
        )


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
