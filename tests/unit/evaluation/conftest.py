"""A fairseq-generate whose answers a test sets."""

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from evaluated import REFERENCES
from lightpaff_fairseq.evaluation import fairseq_command


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Data folder, references, two checkpoints, and a fairseq-generate with set answers."""
    (tmp_path / "data").mkdir()
    (tmp_path / "ref").write_text("\n".join(REFERENCES) + "\n", encoding="utf-8")
    for name, width in (("a", 8), ("b", 4)):
        save_checkpoint(tmp_path / f"{name}.pt", width)
    calls, answers = [], []

    def run(command, on_line, stderr, environment):
        calls.append(command)
        output, log = answers[(len(calls) - 1) % len(answers)]
        for line in output.split("\n"):
            on_line(line)
        stderr.write(log)
        return 0

    monkeypatch.setattr(fairseq_command, "run_child", run)
    return SimpleNamespace(path=tmp_path, calls=calls, answers=answers)


def save_checkpoint(path: Path, width: int) -> None:
    embedding = torch.randn(10, width)
    state = {"encoder.embed_tokens.weight": embedding, "decoder.embed_tokens.weight": embedding}
    cfg = {"model": Namespace(arch="transformer"), "task": {}, "criterion": {}}
    history = [
        {"num_updates": 1, "criterion_name": "C", "optimizer_name": "A", "lr_scheduler_state": {}}
    ]
    position = {"train_iterator": {"epoch": 1}}
    torch.save(
        {
            "args": None,
            "cfg": cfg,
            "model": state,
            "optimizer_history": history,
            "extra_state": position,
        },
        path,
    )
