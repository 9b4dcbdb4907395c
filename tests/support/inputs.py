"""Tiny inputs of all commands, each made when it is first named."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

import export_cases
import hf_folders
import mass_files
import prunable_cases
import report_files
import toy
from command_runs import attempt

Maker = Callable[[Path, "Inputs"], Path]
POSITIONS = "--max-source-positions 40 --max-target-positions 40"
CACHE = (
    f"cache-teacher {{pair.parent}}/data --task translation {POSITIONS} --path {{pair}} "
    "--block-tokens 120 --cpu --num-workers 0 --out {out}"
)
SEQ_KD = (
    f"seq-kd {{pair.parent}}/data --task translation {POSITIONS} --path {{pair}} --beam 2 "
    "--max-len-b 6 --max-tokens 60 --keep-cut --block-size 16 --cpu --num-workers 0 --out {out}"
)
AUGMENT = (
    "augment {classes.parent}/data --path {masked_lm} --candidates 3 --copies 2 --block-size 16 "
    "--cpu --out {out}"
)
VOCABULARY_MAP = (
    "vocabulary-map --teacher-data {subwords} --teacher-model {subwords}/own.model "
    "--data {subwords} --model {subwords}/own.model --out {out}"
)
LOSS = "--tokens 10 --vocab 23 --student-dim 4 --teacher-dim 8 --topk 3 --repeats 1"


class Inputs(dict[str, Path]):
    """Inputs by name, for `str.format_map`: `strip --path {pair}`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        self[name] = MAKERS[name](folder, self)
        return self[name]


def exported(name: str) -> Maker:
    """Make an untrained student of `export_cases`, with its data beside it."""
    return lambda folder, inputs: export_cases.make(export_cases.CASES[name], folder)[0]


def masked(folder: Path, inputs: Inputs) -> Path:
    """Make a pruned checkpoint, with the pruner's state in it."""
    built = prunable_cases.build(prunable_cases.CASES["roberta"], folder)
    built.prune()
    return built.save(folder / "masked.pt")


def legacy(folder: Path, inputs: Inputs) -> Path:
    """Save a checkpoint in the form of PyTorch 1.5."""
    state = toy.checkpoint(inputs["pair"])
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    return folder / "legacy.pt"


def mass(folder: Path, inputs: Inputs) -> Path:
    mass_files.mass(folder)
    return folder / "mass.pt"


def hf(name: str) -> Maker:
    """Make a folder of a Hugging Face family."""
    return lambda folder, inputs: hf_folders.MAKERS[name](folder / "hf")


def cache(folder: Path, inputs: Inputs) -> Path:
    run(CACHE, inputs, folder / "cache")
    return folder / "cache"


def shards(folder: Path, inputs: Inputs) -> Path:
    for i in range(2):
        run(f"{CACHE} --num-shards 2 --shard-id {i}", inputs, folder / str(i))
    return folder


def distilled(folder: Path, inputs: Inputs) -> Path:
    run(SEQ_KD, inputs, folder / "out")
    return folder / "out"


def augmented(folder: Path, inputs: Inputs) -> Path:
    run(AUGMENT, inputs, folder / "out")
    return folder / "out"


def trimmed(folder: Path, inputs: Inputs) -> Path:
    run(
        "trim-vocab --path {pair} --data {pair.parent}/data --keep 12 --out {out}",
        inputs,
        folder / "out",
    )
    return folder / "out"


def converted(folder: Path, inputs: Inputs) -> Path:
    run("convert --from hf {roberta} --to fairseq {out}", inputs, folder / "out")
    return folder / "out"


def benchmark(folder: Path, inputs: Inputs) -> Path:
    run(f"benchmark loss {LOSS} --json {{out}}", inputs, folder / "loss.json")
    return folder / "loss.json"


def text(folder: Path, inputs: Inputs) -> Path:
    """Write sentences."""
    (folder / "text").write_text("\n".join(hf_folders.TEXT * 5))
    return folder / "text"


def subwords(folder: Path, inputs: Inputs) -> Path:
    """Train a SentencePiece model, `own.model`, with its `dict.txt`."""
    run("subwords train {text} --vocab 35 --out {out}", inputs, folder / "own")
    (folder / "own.dict.txt").rename(folder / "dict.txt")
    return folder


def vocabulary_map(folder: Path, inputs: Inputs) -> Path:
    run(VOCABULARY_MAP, inputs, folder / "map.json")
    return folder / "map.json"


def results(folder: Path, inputs: Inputs) -> Path:
    """Two rows of `lightpaff evaluate`, and the log of a training."""
    report_files.write_log(folder / "student.log", report_files.training(True))
    (folder / "results.json").write_text(json.dumps(report_files.rows()[:2]))
    return folder


def run(command: str, inputs: Inputs, out: Path) -> None:
    outcome = attempt(command, inputs, out)
    assert outcome.code == 0, outcome


MAKERS: dict[str, Maker] = {
    "text": text,
    "subwords": subwords,
    "vocabulary_map": vocabulary_map,
    "pair": exported("sinusoidal"),
    "language_model": exported("language_modeling"),
    "classes": exported("classes"),
    "masked_lm": exported("masked_lm"),
    "masked": masked,
    "legacy": legacy,
    "mass": mass,
    "roberta": hf("roberta"),
    "marian": hf("marian"),
    "cache": cache,
    "shards": shards,
    "distilled": distilled,
    "augmented": augmented,
    "trimmed": trimmed,
    "converted": converted,
    "results": results,
    "benchmark": benchmark,
    "pruning": lambda folder, inputs: report_files.pruning_log(folder / "pruning.log"),
    "sweep": lambda folder, inputs: report_files.sweep(folder / "sweep"),
}
