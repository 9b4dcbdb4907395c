"""Read and write what a sentence-transformers folder puts around its encoder."""

import json
import shutil
from pathlib import Path
from typing import Any

from ..json_files import read_json, value_as

MODULES, SETTINGS, LENGTH = "modules.json", "sentence_bert_config.json", "max_seq_length"
POOLING = "pooling_mode_"
KINDS = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
MODES = {"mean": "mean_tokens", "first": "cls_token"}  # ours -> sentence-transformers'
OTHER_MODES = ("max_tokens", "mean_sqrt_len_tokens")


def write_modules(folder: Path, pooling: str, width: int, positions: int) -> None:
    """Write the files that make a Hugging Face folder one of sentence-transformers.

    Its embeddings are the encoder's outputs, pooled and normalized. Folders of other modules, which
    the model came with, are removed.

    Args:
        pooling: one of `POOLINGS`.
        width: of an embedding; positions: maximum tokens of a text.
    """
    for module in _modules(folder)[1:]:
        shutil.rmtree(folder / str(module.get("path")), ignore_errors=True)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(KINDS.items())
    ]
    modes = dict.fromkeys((*MODES.values(), *OTHER_MODES), False) | {MODES[pooling]: True}
    config = {"word_embedding_dimension": width}
    config |= {f"{POOLING}{mode}": on for mode, on in modes.items()}
    for path in KINDS:
        (folder / path).mkdir(exist_ok=True)
    _write(folder / MODULES, modules)
    _write(folder / "1_Pooling" / "config.json", config)
    _write(folder / SETTINGS, {LENGTH: positions, "do_lower_case": False})


def encoder_folder(folder: Path) -> Path:
    """Return the folder of the encoder: the first module's, or the folder itself.

    Raises:
        ValueError: `modules.json` does not begin with a transformer in the folder.
    """
    modules = _modules(folder)
    if not modules:
        return folder
    path = str(modules[0].get("path") or "")
    place = (folder / path).resolve()
    if _kind(modules[0]) != "Transformer" or not place.is_relative_to(folder.resolve()):
        raise ValueError(
            f"{MODULES}: expected a Transformer of this folder as the first module, got "
            f"{_kind(modules[0])} in {path!r}"
        )
    return folder / path


def modules_note(folder: Path) -> list[str]:
    """Return a sentence on what stands behind the encoder; none for other folders.

    Raises:
        ValueError: a file is corrupt.
    """
    modules = _modules(folder)[1:]
    if not modules:
        return []
    words = [_words(folder, module) for module in modules]
    return [
        f"sentence-transformers puts {', then '.join(words)} behind the encoder: fairseq's "
        "model is the encoder alone"
    ]


def fit_modules(folder: Path, width: int, positions: int) -> None:
    """Fit the modules that a model came with to another encoder: its width and its positions."""
    modules = _modules(folder)
    for module in modules[1:]:
        path = folder / str(module.get("path")) / "config.json"
        if _kind(module) == "Pooling" and path.is_file():
            config = value_as(dict[str, Any], read_json(path), str(path))
            _write(path, {**config, "word_embedding_dimension": width})
    path = folder / SETTINGS
    if modules and path.is_file():
        settings = value_as(dict[str, Any], read_json(path), SETTINGS)
        longest = min(int(settings.get(LENGTH) or positions), positions)
        _write(path, {**settings, LENGTH: longest})


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / MODULES
    if not path.is_file():
        return []
    modules: list[dict[str, Any]] = value_as(list[dict[str, Any]], read_json(path), MODULES)
    return modules


def _kind(module: dict[str, Any]) -> str:
    return str(module.get("type")).rpartition(".")[2]


def _words(folder: Path, module: dict[str, Any]) -> str:
    """Return a module in words: `mean pooling`, `L2 normalization`, or its type."""
    kind = _kind(module)
    if kind == "Normalize":
        return "L2 normalization"
    path = folder / str(module.get("path")) / "config.json"
    if kind != "Pooling" or not path.is_file():
        return kind
    config = value_as(dict[str, Any], read_json(path), str(path))
    modes = [x.removeprefix(POOLING) for x, on in config.items() if x.startswith(POOLING) and on]
    modes = modes or [str(config.get("pooling_mode"))]
    return " and ".join(mode.removesuffix("_tokens").removesuffix("_token") for mode in modes) + (
        " pooling"
    )
