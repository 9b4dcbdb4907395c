"""Runs of `lightpaff convert`, what they read, and the refusals of what it cannot read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils

import toy
from lightpaff_fairseq.cli.main import main

SMALL = [
    *("--encoder-layers", 2, "--encoder-embed-dim", 32, "--encoder-attention-heads", 2),
    *("--encoder-ffn-embed-dim", 48, "--decoder-layers", 1, "--decoder-embed-dim", 32),
    *("--decoder-attention-heads", 2, "--decoder-ffn-embed-dim", 40),
]
LM = ["--decoder-layers", 2, "--decoder-embed-dim", 32, "--decoder-attention-heads", 2]
TRANSLATION = ["--task", "translation", "--max-source-positions", 40, "--max-target-positions", 40]


class Malicious:
    def __reduce__(self):
        return (eval, ("print('code was run')",))


def convert(*argv: Any) -> None:
    """Run `lightpaff convert`."""
    assert main(["convert", *map(str, argv)]) == 0


def from_hf(source: Path, out: Path, *more: Any) -> Path:
    """Convert a Hugging Face folder; return `out`."""
    convert("--from", "hf", source, "--to", "fairseq", out, *more)
    return out


def to_hf(path: Path, out: Path, *more: Any) -> Path:
    """Convert a fairseq checkpoint; return `out`."""
    convert("--from", "fairseq", path, "--to", "hf", out, *more)
    return out


def refusal(capsys: Any, *argv: Any) -> str:
    """Return the one line of a refusal."""
    assert main(["convert", *map(str, argv)]) == 2
    out, error = capsys.readouterr()
    assert error.count("\n") == 1 and "code was run" not in out, error
    return str(error)


def check_refused(capsys: Any, folder: Path, *words: str, more: Any = (), out: Any = None) -> str:
    """Check that a Hugging Face folder is refused with all `words`, and nothing is left behind."""
    out = out or folder.with_name("out")
    before = sorted(out.parent.iterdir())
    error = refusal(capsys, "--from", "hf", folder, "--to", "fairseq", out, *more)
    assert all(word in error for word in words), error
    assert sorted(out.parent.iterdir()) == before
    return error


def copy_of(source: Path, folder: Path) -> Path:
    """Copy a folder of files."""
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def edit_config(folder: Path, **values: Any) -> None:
    """Change values of `config.json`."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def read_json(*parts: Any) -> Any:
    """Read a JSON file."""
    return json.loads(Path(*parts).read_text())


def load_fairseq(folder: Path) -> tuple[Any, Any]:
    """Return (model, task) as fairseq-generate loads them."""
    overrides = {"data": str(folder), "load_checkpoint_heads": True}
    models, _, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(folder / "model.pt")], arg_overrides=overrides
    )
    return models[0].eval(), task


def load_hf(folder: Path) -> Any:
    """Return the model of a Hugging Face folder."""
    from hf_folders import T

    name = read_json(folder, "config.json")["architectures"][0]
    return getattr(T, name).from_pretrained(folder).eval()


def order_of(folder: Path) -> torch.Tensor:
    """Return the Hugging Face id of each token of a converted folder."""
    return torch.tensor(read_json(folder, "huggingface", "lightpaff.json")["order"])


def save_student(data: Path, path: Path, *flags: Any, noise: float = 0.0) -> Any:
    """Save a random student; return the model."""
    _, model, _ = toy.build(data, *flags)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * noise)
    toy.save_model(path, toy.parse(data, *flags), model.eval())
    return model


def changed(tmp_path: Path, family: str, change: Callable[[Any], None]) -> tuple[Path, Path]:
    """Return (checkpoint, its folder): converted from Hugging Face, then changed."""
    from hf_folders import MAKERS

    out = from_hf(MAKERS[family](tmp_path / "hf"), tmp_path / "out")
    state = toy.checkpoint(out / "model.pt")
    change(state)
    torch.save(state, tmp_path / "changed.pt")
    return tmp_path / "changed.pt", out
