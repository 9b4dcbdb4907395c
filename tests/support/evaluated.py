"""Checkpoints for `lightpaff evaluate`, and its command line."""

import json

import torch
from fairseq import tasks

from lightpaff_fairseq.cli.main import main
from toy import parse, save_model

REFERENCES = ["The cat sat on the mat.", "I do not know.", "Where is it now?", "She left early."]
LM = ("--task", "language_modeling", "--criterion", "kd_lm", "--kd-lambda", 0, "--arch",
      "transformer_lm_gpt2_micro", "--decoder-layers", 1, "--decoder-embed-dim", 8,
      "--decoder-ffn-embed-dim", 8, "--decoder-attention-heads", 2,
      "--tokens-per-sample", 512, "--max-target-positions", 512)  # fmt: skip


def output(hypotheses, speed="12.50"):
    """What fairseq-generate prints, sentences in the order of batches and not of the split."""
    lines = []
    for i in reversed(range(len(hypotheses))):
        lines += [
            f"S-{i}\tkälla",
            f"T-{i}\tmål",
            f"H-{i}\t-0.5\traw",
            f"D-{i}\t-0.5\t{hypotheses[i]}",
        ]
        lines += [f"P-{i}\t-0.1 -0.2"]
    return "\n".join(
        lines
    ), f"INFO | Translated 4 sentences (9 tokens) in 1.0s ({speed} sentences/s, 9 tokens/s)"


def run_cli(world, *more):
    paths = [str(world.path / f"{name}.pt") for name in ("a", "b")]
    command = ["evaluate", str(world.path / "data"), "--path", *paths]
    return main([*command, "--references", str(world.path / "ref"), *more])


def checkpoint(path, data, *flags):
    """An untrained model's stripped checkpoint, and the model."""
    cfg = parse(data, *flags)
    task = tasks.setup_task(cfg.task)
    torch.manual_seed(4)
    model = task.build_model(cfg.model)
    for parameter in model.parameters():  # an untrained model gives every sentence one class
        torch.nn.init.normal_(parameter, std=0.8)
    save_model(path.with_suffix(".full.pt"), cfg, model)
    assert main(["strip", "--path", str(path.with_suffix(".full.pt")), "--out", str(path)]) == 0
    return model.eval()


def evaluate(task, data, path, *flags):
    out = path.with_suffix(".json")
    argv = ["evaluate", data, "--task", task, "--path", path, "--out", out, "--repeats", 1, *flags]
    code = main([str(arg) for arg in argv])
    return code, json.loads(out.read_text()) if out.exists() else None
