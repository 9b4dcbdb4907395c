"""No file that we read runs the code in a pickle, whatever it is given as."""

import argparse
import io
import os
import pickle

import numpy as np
import pytest
import torch

import toy
from command_runs import attempt
from files_read import FILES
from inputs import CACHE, POSITIONS, SEQ_KD
from written import STUDENT

KIND = "pickles"


class Payload:
    """Makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def saved(payload, **form):
    file = io.BytesIO()
    state = {"model": {}, "cfg": payload, "args": argparse.Namespace(), "extra_state": payload}
    torch.save(state, file, **form)
    return file.getvalue()


def arrays(payload):
    file = io.BytesIO()
    names = ("plan", "sources", "counts", "lengths", "scores", "cut", "symbols")
    np.savez(file, **dict.fromkeys(names, np.array([payload], dtype=object)))
    return file.getvalue()


FORMS = {
    "checkpoint": saved,
    "checkpoint of PyTorch 1.5": lambda x: saved(x, _use_new_zipfile_serialization=False),
    "pickle": lambda x: pickle.dumps({"model": x}, 2),
    "text pickle": lambda x: pickle.dumps(x, 0),
    "arrays": arrays,
}
DATA = "{pair.parent}/data"
READERS = [
    "strip --path {evil} --out {out}",
    "compact --path {evil} --out {out}",
    "prune-plan --path {evil} --target-width 0.5",
    f"init-student --teacher {{evil}} --out {{out}} {STUDENT}",
    f"evaluate {DATA} --path {{evil}} --references {DATA}/dict.sv.txt --out {{out}}",
    "evaluate {classes.parent}/data --task sentence_prediction --path {evil} --gen-subset valid",
    "evaluate {language_model.parent}/data --task language_modeling --path {evil}",
    "convert --from fairseq {evil} --to hf {out}",
    "convert --from mass {evil} --to fairseq {out} --dict {mass.parent}/dict.txt",
    f"export --path {{evil}} --to ctranslate2 --out {{out}} --data {DATA}",
    f"export --path {{evil}} --to hf --out {{out}} --data {DATA}",
    CACHE.replace("--path {pair}", "--path {evil}"),
    SEQ_KD.replace("--path {pair}", "--path {evil}"),
    SEQ_KD.replace("--path {pair}", "--path {pair}:{evil}"),
    f"benchmark inference --teacher {{evil}} --student {{pair}} --data {DATA} --json {{out}}",
    f"benchmark inference --teacher {{pair}} --student {{evil}} --data {DATA} --json {{out}}",
]


@pytest.mark.parametrize("form", FORMS)
def test_checkpoints(form, inputs, tally, tmp_path):
    ran, inputs["evil"] = tmp_path / "ran", tmp_path / "evil.pt"
    inputs["evil"].write_bytes(FORMS[form](Payload(ran)))
    for reader in READERS:
        outcome = attempt(reader, inputs, tmp_path / "out")
        problem = outcome.refusal_problem(reader.split()[0])
        if ran.exists() or (tmp_path / "out").exists():
            problem = f"code was run, or something written: {outcome}"
        tally.add("refused", problem and f"{reader}: {problem}")


TRAINING = ("--kd-teacher", "--finetune-from-model", "--restore-file", "--kd-cache")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flag", TRAINING)
def test_trainings(form, flag, inputs, tally, tmp_path):
    ran, evil = tmp_path / "ran", tmp_path / "evil.pt"
    evil.write_bytes(FORMS[form](Payload(ran)))
    argv = [inputs["pair"].parent / "data", "--task", "translation", *POSITIONS.split()]
    argv += [*STUDENT.split(), "--lr", 0.01, "--max-tokens", 99, "--max-update", 1]
    criterion = ["--criterion", "kd_ss"] if flag.startswith("--kd") else []
    with pytest.raises(Exception) as caught:
        toy.train(*argv, *criterion, "--save-dir", tmp_path / "run", flag, evil)
    problem = None if isinstance(caught.value, ValueError) or not criterion else repr(caught.value)
    if ran.exists():
        problem = f"code was run: {caught.value!r}"
    tally.add("refused", problem)


@pytest.mark.parametrize("name", FILES)
def test_other_files(name, inputs, tally, tmp_path):
    path, ran = FILES[name].find(inputs), tmp_path / "ran"
    content = path.read_bytes()
    FILES[name].read(inputs, tmp_path / "work")  # makes every input before one is replaced
    for form, write in FORMS.items():
        path.write_bytes(write(Payload(ran)))
        reading = FILES[name].read(inputs, tmp_path / "work")
        problem = "code was run" if ran.exists() else reading.problem
        if reading.result is not None and FILES[name].sealed:
            problem = "used as it is"
        tally.add("refused", problem and f"{form}: {problem}")
    path.write_bytes(content)
