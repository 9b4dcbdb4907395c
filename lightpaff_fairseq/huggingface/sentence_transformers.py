"""Read what a sentence-transformers folder puts around its encoder."""

import json
from pathlib import Path
from typing import Any

from ..json_files import read_json, value_as

MODULES = "modules.json"
POOLING = "pooling_mode_"


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


def set_width(folder: Path, width: int) -> None:
    """Write the width of another encoder than the one that came into the poolings of a folder."""
    for module in _modules(folder)[1:]:
        path = folder / str(module.get("path")) / "config.json"
        if _kind(module) == "Pooling" and path.is_file():
            config = value_as(dict[str, Any], read_json(path), str(path))
            config["word_embedding_dimension"] = width
            path.write_text(json.dumps(config, indent=2), encoding="utf-8")


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
