"""Every kind of file that we read, and what reads it."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import toy
from command_runs import attempt
from crashes import read_state
from inputs import AUGMENT, POSITIONS, SEQ_KD, Inputs
from lightpaff_fairseq.huggingface.tokenizers import pieces_problem
from lightpaff_fairseq.report.results import read_runs
from lightpaff_fairseq.teachers.cache.block_file import BlockFile
from lightpaff_fairseq.teachers.cache.reader import CacheReader
from lightpaff_fairseq.teachers.vocabulary_map import read_vocabulary_map
from written import STUDENT

AGAIN = f"{SEQ_KD} --hypotheses {{distilled}}.hypotheses"
FROM_HF = "convert --to fairseq {out} --from hf"
REPORT = "report {results} --out {out}"
DATA = "{pair.parent}/data/train.sv-en"


@dataclass(frozen=True)
class File:
    """A kind of file.

    Attributes:
        path: with the placeholders of `inputs.MAKERS`; of several that match, the first.
        use: a command that reads it and writes `{out}`, or a function that reads it.
        sealed: it has checksums, or what reads it has: no change is unnoticed.
        tries: number of changed bytes; within: the share of the file that has them, from its start.
    """

    path: str
    use: str | Callable[[Inputs], Any]
    sealed: bool = True
    tries: int = 40
    within: float = 1.0

    def find(self, inputs: Inputs) -> Path:
        """Return the file."""
        folder, pattern = self.path.format_map(inputs).rsplit("/", 1)
        return sorted(Path(folder).glob(pattern))[0]

    def read(self, inputs: Inputs, folder: Path) -> "Reading":
        """Read it, and write to a folder, always the same one: outputs hold its name."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if not isinstance(self.use, str):
            try:
                return Reading(self.use(inputs))
            except ValueError as error:
                problem = None if str(error).count("\n") == 0 else f"several lines: {error}"
                return Reading(None, problem)
        outcome = attempt(self.use, inputs, folder / "out")
        written = read_state(folder)
        if outcome.code == 0:
            return Reading(written)
        problem = outcome.refusal_problem(self.use.split()[0])
        return Reading(
            None, problem or (f"refused, and wrote {sorted(written)}" if written else None)
        )


@dataclass(frozen=True)
class Reading:
    """What came of reading a file: None: it was refused; `problem`: but not in one sentence."""

    result: Any
    problem: str | None = None

    def outcome(self, expected: Any) -> str:
        """Name it, compared with the result of the unchanged file."""
        if self.result is None:
            return "refused"
        return "unchanged" if self.result == expected else "read as other values"


def loss(inputs: Mapping[str, Path], flag: str, path: Path) -> float:
    """Train with every sample; return the loss."""
    argv = [inputs["pair"].parent / "data", "--task", "translation", *POSITIONS.split()]
    flags = ["--criterion", "kd_ss", "--dropout", 0, "--kd-lambda", 1, flag, path]
    task, model, criterion = toy.build(*argv, *STUDENT.split(), *flags)
    criterion.train().before_training(model, lambda: 0)
    criterion.begin_epoch(1, "train")
    samples = toy.batch(task, range(len(task.dataset("train"))))
    return float(criterion(model, samples)[0].item())


def loss_of_teacher(inputs: Mapping[str, Path]) -> float:
    return loss(inputs, "--kd-teacher", inputs["pair"])


def loss_from_cache(inputs: Mapping[str, Path]) -> float:
    return loss(inputs, "--kd-cache", inputs["cache"])


def records(inputs: Mapping[str, Path]) -> Any:
    """Read a cache completely; return what is in it."""
    reader = CacheReader(inputs["cache"], "--kd-cache")
    samples = range(reader.plan.bounds[-1])
    blocks = [
        BlockFile(inputs["cache"] / block.file, reader.plan.layout, reader.plan.checksum)
        for block in reader.plan.blocks
    ]
    texts = np.concatenate([block.index["text"] for block in blocks])
    values, counts = reader.read(1, samples, texts.tolist())
    return reader.plan, values.tobytes(), counts.tolist()


def runs(name: str) -> Callable[[Inputs], str]:
    """Read results, a sweep or benchmarks for `lightpaff report`."""
    return lambda inputs: repr(read_runs([inputs[name]]))


def pieces(inputs: Mapping[str, Path]) -> str:
    """Compare a SentencePiece model with a dictionary."""
    symbols = json.loads((inputs["marian"] / "vocab.json").read_text())
    problem = pieces_problem(inputs["marian"] / "source.spm", symbols)
    if problem:
        raise ValueError(problem)
    return "fits"


FILES = {
    "checkpoint": File("{pair}", "strip --path {pair} --out {out}", tries=60),
    "checkpoint of PyTorch 1.5": File("{legacy}", "strip --path {legacy} --out {out}", False, 60),
    "pruner's state": File("{masked}", "compact --path {masked} --out {out}"),
    "teacher": File("{pair}", loss_of_teacher, tries=8),
    "released MASS": File("{mass}", "convert --from mass {mass} --to fairseq {out} --heads 2"),
    "cache, plan": File("{shards}/0/plan.json", "merge-caches {shards}/0 {shards}/1 --out {out}"),
    "cache, header": File("{cache}/cache.json", records),
    "cache, block": File("{cache}/*.bin", records, tries=100),
    "cache, block in training": File("{cache}/*.bin", loss_from_cache, tries=8),
    "vocabulary map": File(
        "{vocabulary_map}", lambda inputs: read_vocabulary_map(inputs["vocabulary_map"])
    ),
    "hypotheses, plan": File("{distilled}.hypotheses/plan.json", AGAIN, tries=12),
    "hypotheses": File("{distilled}.hypotheses/*.npz", AGAIN, tries=12),
    "proposals": File(
        "{augmented}.proposals/*.npz", f"{AUGMENT} --proposals {{augmented}}.proposals", tries=12
    ),
    "dictionary": File("{pair.parent}/data/dict.sv.txt", AGAIN, False, 12),
    "tokens": File(f"{DATA}.sv.bin", AGAIN, tries=12),
    "index": File(f"{DATA}.sv.idx", AGAIN, tries=16),
    "index of references": File(f"{DATA}.en.idx", AGAIN, tries=8),
    "safetensors": File("{roberta}/model.safetensors", f"{FROM_HF} {{roberta}}", False, 10, 0.02),
    "configuration": File("{roberta}/config.json", f"{FROM_HF} {{roberta}}", False, 12),
    "tokenizer": File("{roberta}/tokenizer.json", f"{FROM_HF} {{roberta}}", False, 12),
    "SentencePiece": File("{marian}/source.spm", pieces, False, 60),
    "results": File("{results}/results.json", runs("results"), False, 60),
    "results, on a page": File("{results}/results.json", REPORT, False, 6),
    "log": File("{results}/student.log", runs("results"), False, 60),
    "log, on a page": File("{results}/student.log", REPORT, False, 6),
}
