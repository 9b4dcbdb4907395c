"""A student of every kind that `lightpaff export` takes, with weights that make it decided."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils, tasks
from fairseq.sequence_generator import SequenceGenerator

import toy
from lightpaff_fairseq.cli.main import main

BLOCKS = ("--sample-break-mode", "eos", "--tokens-per-sample", 32)
POSITIONS = ("--max-source-positions", 40, "--max-target-positions", 40)
PAIRS = ("--task", "translation", "--criterion", "kd_ss", "--kd-lambda", 0, *POSITIONS)
CLASSES = ("--task", "sentence_prediction", "--criterion", "kd_lu", "--kd-lambda", 0)
CLASSES += ("--init-token", 0, "--max-positions", 32, "--arch", "roberta_tiny")


@dataclass(frozen=True)
class Case:
    """How a student is made and the format that it is exported to.

    Attributes:
        to: the format; `pair`: its model and task, as `FORMATS` lists them.
        write: makes the data; `flags`: of fairseq-train, without sizes.
        sides: encoder, decoder or both.
        updates: of training; 0: random weights, and `ends` is how likely outputs end.
    """

    to: str
    pair: tuple[str, str]
    write: Callable[..., Path]
    flags: tuple
    sides: tuple = ("encoder",)
    updates: int = 0
    ends: float = 0.0

    def argv(self, data):
        sizes = {"layers": 2, "embed-dim": 8, "ffn-embed-dim": 12, "attention-heads": 2}
        own = [x for side in self.sides for k, v in sizes.items() for x in (f"--{side}-{k}", v)]
        return (data, *self.flags, *own)


BOTH = ("encoder", "decoder")
CASES = {
    "translation": Case(
        "ctranslate2",
        ("transformer", "translation"),
        toy.write_parallel,
        (*PAIRS, "--arch", "transformer_mass_tiny", "--dropout", 0, "--attention-dropout", 0),
        BOTH,
        updates=250,
    ),
    "sinusoidal": Case(
        "ctranslate2",
        ("transformer", "translation"),
        toy.write_parallel,
        (*PAIRS, "--arch", "transformer", "--encoder-normalize-before")
        + ("--decoder-normalize-before", "--activation-fn", "relu"),
        BOTH,
        ends=5,
    ),
    "bart": Case(
        "ctranslate2",
        ("bart", "translation"),
        toy.write_parallel,
        (*PAIRS, "--arch", "bart_base"),
        BOTH,
        ends=1,
    ),
    "language_modeling": Case(
        "ctranslate2",
        ("transformer_lm", "language_modeling"),
        toy.write_monolingual,
        ("--task", "language_modeling", "--criterion", "kd_lm", "--kd-lambda", 0, *BLOCKS)
        + ("--arch", "transformer_lm_gpt2_micro", "--max-target-positions", 40),
        ("decoder",),
    ),
    "classes": Case(
        "onnx",
        ("roberta", "sentence_prediction"),
        toy.write_labeled,
        (*CLASSES, "--num-classes", 3),
    ),
    "regression": Case(
        "onnx",
        ("roberta", "sentence_prediction"),
        toy.write_labeled,
        (*CLASSES, "--num-classes", 1, "--regression-target"),
    ),
    "embedding": Case(
        "onnx",
        ("roberta", "sentence_embedding"),
        toy.write_labeled,
        ("--task", "sentence_prediction", "--criterion", "kd_embed", "--kd-teacher", "t.pt")
        + (*CLASSES[6:], "--num-classes", 1, "--regression-target"),
    ),
    "masked_lm": Case(
        "onnx",
        ("roberta", "masked_lm"),
        toy.write_monolingual,
        ("--task", "masked_lm", "--criterion", "kd_mlm", "--kd-lambda", 0, *BLOCKS)
        + ("--arch", "roberta_tiny", "--max-positions", 32),
    ),
}


TRANSLATION = pytest.param("translation", marks=pytest.mark.slow)  # it is trained


def make(case, folder):
    """(checkpoint, data, model) of a case, as the trainer would leave them."""
    data = case.write(folder / "data")
    if case.updates:
        return train(case, data, folder)
    cfg = toy.parse(*case.argv(data))
    task = tasks.setup_task(cfg.task)
    torch.manual_seed(3)
    model = task.build_model(cfg.model)
    for parameter in model.parameters():
        if parameter.dim() > 1:  # with fairseq's own weights every sentence gives the same
            torch.nn.init.normal_(parameter, std=0.5)
    if case.ends:
        make_it_end(model.decoder, case.ends)
    return toy.save_model(folder / "student.pt", cfg, model), data, model.eval()


def train(case, data, folder):
    """See `make`."""
    run = f"--max-update {case.updates} --max-tokens 150 --save-interval 1000 --lr 0.01"
    run += " --lr-scheduler fixed --disable-validation --no-epoch-checkpoints"
    toy.train(*case.argv(data), *run.split(), "--save-dir", folder / "run")
    path = folder / "student.pt"
    (folder / "run" / "checkpoint_last.pt").rename(path)
    shutil.rmtree(folder / "run")
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)])
    return path, data, model.eval()


@torch.no_grad()
def make_it_end(decoder, ends):
    """Beams of a random model never end, and may hold padding: more of the end, none of that."""
    last = decoder.layer_norm or decoder.layers[-1].final_layer_norm
    end = decoder.output_projection.weight[2]
    last.bias += ends * end / end.norm() ** 2
    decoder.output_projection.weight[1] = -4 * end


def export(case, path, out, *flags):
    argv = ["export", "--path", path, "--to", case.to, "--out", out, *flags]
    return main([str(word) for word in argv])


@torch.no_grad()
def outputs(case, model, text):
    """One text by the model in float64, alone and unpadded: scores of classes or symbols."""
    tokens = torch.tensor([[0, *text, 2]])
    if case.pair[1] == "sentence_embedding":
        states = model(tokens, features_only=True)[0][0]
        return states.mean(0) / states.mean(0).norm()
    if case.pair[1] == "sentence_prediction":
        head = "sentence_classification_head"
        return model(tokens, features_only=True, classification_head_name=head)[0][0]
    return model(tokens)[0][0]


def expected(case, model, text):
    """What use.py should print for a text, computed naively."""
    kind = case.pair[1]
    if kind == "translation":
        dictionary = model.decoder.dictionary
        sample = {"src_tokens": torch.tensor([[*text, 2]]), "src_lengths": torch.tensor([1])}
        generator = SequenceGenerator([model], dictionary, beam_size=5, max_len_b=256)
        best = generator.generate([model], {"net_input": sample})[0][0]["tokens"]
        return " ".join(dictionary[i] for i in best[:-1])
    if kind == "language_modeling":
        with torch.no_grad():
            lprobs = model(torch.tensor([[2, *text[:-1]]]))[0][0].log_softmax(-1)
        return sum(lprobs[i, symbol].item() for i, symbol in enumerate(text))
    scores = outputs(case, model, text)
    if kind == "sentence_embedding":
        return scores.tolist()
    if kind == "masked_lm":
        return " ".join(model.encoder.dictionary[i] for i in scores.argmax(-1))
    return str(scores.argmax().item()) if len(scores) > 1 else scores.item()


STRANGER = """import runpy, sys
for name in ("fairseq", "lightpaff_fairseq", "torch"):
    sys.modules[name] = None  # importing it fails
runpy.run_path(sys.argv.pop(1), run_name='__main__')
"""


def use(folder, lines):
    """What the folder's own script prints for lines of text, without fairseq and PyTorch."""
    return use_and_notices(folder, lines)[0]


def use_and_notices(folder, lines, *flags):
    """See `use`; and the lines on standard error. A line may be bytes."""
    data = [line if isinstance(line, bytes) else line.encode() for line in lines]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, folder / "use.py", *flags],
        input=b"".join(line + b"\n" for line in data),
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.decode().split("\n")[:-1], done.stderr.decode().splitlines()
