"""Read a Hugging Face folder: configuration, weights, tokenizer; offline, and running no code.

Errors do not name the folder: `to_fairseq` puts `--from hf FOLDER` in front.
"""

import importlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..json_files import KINDS, read_json, value_as
from ..problems import Problems, as_value_error
from .families.family import Family
from .tables import name_problems

WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")
FOREIGN = ("*.md", ".*", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.pt", "*.pth")
LARGEST_SIDE_FILE = 64 * 2**20  # bytes: tokenizers are smaller, weights are larger
LARGEST_SIZE = 2**31
SEED = 1  # of a new classification head
HEAD = r"(pre_)?classifier\..*|.*\bpooler\..*"  # names that a classifier has besides its encoder


def transformers_package() -> Any:
    """Return the package `transformers`, kept off the network.

    Raises:
        ValueError: it is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    _hide_broken("torchaudio")
    try:
        module = importlib.import_module("transformers")
    except ImportError as error:
        raise ValueError(
            "Hugging Face models need the package transformers: pip install 'lightpaff-fairseq[hf]'"
        ) from error
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module


def _hide_broken(name: str) -> None:
    """Make a package that is installed but cannot be loaded look absent.

    transformers imports torchaudio wherever it is installed. fairseq-fixed declares it, so it is
    there even where its library does not fit (a CPU build of PyTorch, say).
    """
    if name in sys.modules:
        return
    try:
        importlib.import_module(name)
    except (ImportError, OSError):
        sys.modules[name] = None  # type: ignore[assignment]  # how Python marks a blocked import
        utils = sys.modules.get("transformers.utils.import_utils")  # it may have looked already
        is_available: Any = getattr(utils, f"is_{name}_available", None)
        if hasattr(is_available, "cache_clear"):
            is_available.cache_clear()


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json`.

    Raises:
        ValueError: no such folder, no such file, or not a configuration.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise ValueError("no such folder")
    if not path.is_file():
        raise ValueError("expected a Hugging Face folder, got no config.json")
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ValueError("config.json: expected a configuration with a model_type, got none")
    return config


def full_config(folder: Path, architecture: str, num_classes: int | None = None) -> dict[str, Any]:
    """Return the configuration of a folder with the defaults of a transformers class.

    Args:
        num_classes: of a head that the folder does not have; None: as the folder says.
    Raises:
        ValueError: it holds what the class refuses, or the weights are quantized.
    """
    config_class = getattr(transformers_package(), architecture).config_class
    with as_value_error("config.json: transformers refuses it"):
        config = config_class.from_pretrained(folder, **_options(num_classes))
    options: dict[str, Any] = config.to_dict()
    Problems(_kind_problems(options, config_class().to_dict())).raise_if_any("config.json: ")
    if options.get("quantization_config"):
        raise ValueError(
            "quantization_config: expected none, got quantized weights; convert the model that "
            "they were made of"
        )
    return options


def _kind_problems(options: dict[str, Any], defaults: dict[str, Any]) -> Iterator[str]:
    """Yield a message for every option of another kind than the default of its class."""
    for key, default in defaults.items():
        value, kind = options.get(key), type(default)
        if value is not None and kind in KINDS and kind is not dict:
            try:
                value_as(kind, value, key)
            except ValueError as error:
                yield str(error)
                continue
            is_size = kind is int and default > 0 and not key.endswith("_id")
            if is_size and not 0 < value < LARGEST_SIZE:
                yield f"{key}: expected a number above 0, got {value}"


@dataclass(frozen=True)
class LoadedModel:
    """A transformers model in float32, as fairseq computes.

    Attributes:
        dtype: in its file.
        drawn: names of tensors of a new classification head, drawn at random.
    """

    model: Any
    dtype: str
    drawn: list[str]


def load_model(
    folder: Path,
    family: Family,
    architecture: str,
    needed: Set[str],
    num_classes: int | None = None,
) -> LoadedModel:
    """Load the model of a folder.

    Args:
        needed: names in the family's table.
        num_classes: of a new classification head, the same in every run; None: as in the folder.
    Raises:
        ValueError: weights are missing, left over, of another shape or not zero where they have to
            be: all are named.
    """
    model_class = getattr(transformers_package(), architecture)
    config_class = model_class.config_class
    with as_value_error("transformers cannot load it"), torch.random.fork_rng():
        torch.manual_seed(SEED)
        model, info = model_class.from_pretrained(
            folder,
            config=config_class.from_pretrained(folder, **_options(num_classes)),
            local_files_only=True,
            output_loading_info=True,
            dtype="auto",
            ignore_mismatched_sizes=True,
        )
    missing = needed & set(info["missing_keys"])
    drawn = {name for name in missing if num_classes and re.fullmatch(HEAD, name)}
    unused = "|".join(family.unused)
    left_over = [n for n in info["unexpected_keys"] if not re.fullmatch(unused, n)]
    shapes = [str(entry) for entry in info["mismatched_keys"]]
    problems = Problems(name_problems(missing - drawn, left_over, shapes))
    problems.raise_if_any("the weights do not fit config.json; ")
    _check_zeros(model.state_dict(), family)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return LoadedModel(model.eval().float(), dtype, sorted(drawn))


def _check_zeros(state: Mapping[str, torch.Tensor], family: Family) -> None:
    nonzero = [name for name in family.zero if name in state and bool(state[name].any())]
    problems = Problems()
    problems.unless(
        not nonzero, f"{', '.join(nonzero)}: expected zeros, as fairseq has no place for values"
    )
    problems.raise_if_any()


def _options(num_classes: int | None) -> dict[str, Any]:
    """Return how transformers reads a configuration: offline, with so many classes."""
    return {"local_files_only": True} | ({"num_labels": num_classes} if num_classes else {})


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a folder.

    Raises:
        ValueError: there is none, or transformers cannot load or use it.
    """
    with as_value_error("no usable tokenizer"):
        kind = transformers_package().AutoTokenizer
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
        tokenizer("a")  # reads settings that loading does not
        return tokenizer


def copy_side_files(source: Path, folder: Path) -> None:
    """Copy all files but weights and what describes them: configuration and tokenizer.

    Of folders in it (modules of sentence-transformers) their configuration is copied.
    """
    folder.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        skipped = any(path.match(pattern) for pattern in (*WEIGHTS, *FOREIGN))
        if (path / "config.json").is_file() and not skipped:
            (folder / path.name).mkdir()
            shutil.copyfile(path / "config.json", folder / path.name / "config.json")
        if path.is_file() and not skipped and path.stat().st_size <= LARGEST_SIDE_FILE:
            shutil.copyfile(path, folder / path.name)
