"""Print how much faster CTranslate2 translates with a lexical shortlist, at the paper's size.

    python scripts/shortlist_speed.py                                # a Markdown table
    python scripts/shortlist_speed.py transformer_mass_student 60    # another model, other rules

The model is untrained, with int8 weights and a vocabulary of 32,000; the shortlist allows random
target tokens per source token (20) and 100 more. Random tokens hardly repeat, so that a batch
allows more of them than in real text. One thread, CPU time, medians of 3 interleaved rounds.
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
from lightpaff_fairseq.export.engines import Search, limited
from lightpaff_fairseq.export.loaded_model import TRANSLATION, inspect_checkpoint, load_model
from lightpaff_fairseq.export.sample_batches import split_samples
from lightpaff_fairseq.export.shortlist import ALWAYS, Shortlist
from lightpaff_fairseq.timing import interleaved_times

VOCABULARY, LENGTH, SENTENCES, ROUNDS = 32_000, 25, 16, 3


def random_rules(words: list[str], targets: int) -> Shortlist:
    """Allow 100 tokens always, and random ones per source token."""
    draw = random.Random(1)
    rules = {(word,): draw.sample(words, targets) for word in words}
    return Shortlist({ALWAYS: words[:100], **rules})


def main(arch: str = "transformer_mass_6_2x384", targets: int = 20) -> None:
    """Export a random model and print a row per beam and batch size."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        data, folder = Path(root) / "data", Path(root) / "out"
        data.mkdir()
        folder.mkdir()
        sizes = {"vocab": VOCABULARY, "sentences": SENTENCES, "length": LENGTH}
        write_random_data(data, TRANSLATION, sizes)
        path = write_random_model(Path(root) / "model.pt", data, TRANSLATION, "ARCH", arch)
        student = load_model(inspect_checkpoint(path), data)
        to_ctranslate2.write(student, folder, "int8")
        dictionary = student.task.target_dictionary
        random_rules(dictionary.symbols[dictionary.nspecial :], targets).write(folder)
        engine = to_ctranslate2.engine(student, folder, Search(), "cpu")
        print("| beam | batch | sentences/s | with the shortlist | times |")
        print("|---:|---:|---:|---:|---:|")
        for beam in (1, 5):
            for batch in (1, 16):
                samples = split_samples(student, SPLIT, SENTENCES, batch)
                search = partial(Search, beam, LENGTH, LENGTH, scores=False)
                runs = {
                    name: engine.searching(limited(search(shortlist=name == "with"), student))
                    for name in ("without", "with")
                }
                times = interleaved_times(
                    {n: lambda r=r, s=samples: [r.run(x) for x in s] for n, r in runs.items()},
                    ROUNDS,
                    clock="cpu",
                )
                rates = [SENTENCES / statistics.median(x) for x in times.values()]
                ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
                print(f"| {beam} | {batch} | {rates[0]:.1f} | {rates[1]:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
