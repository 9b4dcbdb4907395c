"""Read a Hugging Face folder: configuration, weights, tokenizer; offline, and running no code.

Errors do not name the folder: `to_fairseq` puts `--from hf FOLDER` in front.
"""

import importlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.integrity import corruption
from ..json_files import KINDS, read_json, value_as
from ..problems import Problems, as_value_error
from .families.family import Family
from .tables import name_problems

WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")
NAMES = (("model", "safetensors"), ("pytorch_model", "bin"))  # of files with weights, or shards
FOREIGN = ("*.md", ".*", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.pt", "*.pth")
LARGEST_SIDE_FILE = 64 * 2**20  # bytes: tokenizers are smaller, weights are larger
LARGEST_SIZE = 2**31
REFUSED_GLOBAL = re.compile(r"GLOBAL (\S+) was not an allowed")  # torch's words for it


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


def full_config(folder: Path, architecture: str) -> dict[str, Any]:
    """Return the configuration of a folder with the defaults of a transformers class.

    Raises:
        ValueError: it holds what the class refuses, or the weights are quantized.
    """
    config_class = getattr(transformers_package(), architecture).config_class
    with as_value_error("config.json: transformers refuses it"):
        config = config_class.from_pretrained(folder, local_files_only=True)
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


def check_weights(folder: Path) -> None:
    """Refuse a folder without weights, with corrupt ones or with a pickle that would run code.

    Raises:
        ValueError: names the file and, for a pickle, what it would call.
    """
    from safetensors import SafetensorError, safe_open

    # Only what transformers reads, in its order: a training_args.bin beside it is nobody's business
    candidates = [sorted(folder.glob(f"{name}*.{ending}")) for name, ending in NAMES]
    paths = next((files for files in candidates if files), [])
    if not paths:
        raise ValueError("expected model.safetensors or pytorch_model.bin, got neither")
    for path in paths:
        if path.suffix == ".bin":
            load_tensors(path, "--from hf", "meta")
            continue
        with (
            as_value_error(f"{path.name}: corrupt", (SafetensorError, OSError)),
            safe_open(path, framework="pt"),
        ):
            pass


def load_tensors(path: Path, flag: str, device: str = "cpu") -> Any:
    """Load a PyTorch file that others made: tensors and plain values, never code.

    Args:
        path: an existing file; `flag`: the flag that named it, for error messages.
        device: where tensors go; `meta`: they are not read.
    Raises:
        ValueError: it would run code, which is named and not run, or it is corrupt.
    """
    corrupt = corruption(path)
    if corrupt:
        raise ValueError(f"{flag} {path}: corrupt: {corrupt}")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever a file of any kind raises
        names = _unsafe_globals(path) or REFUSED_GLOBAL.findall(str(error))
        if names:
            raise ValueError(
                f"{flag} {path}: refused: to load it would run code of its own ({', '.join(names)})"
            ) from error
        raise ValueError(
            f"{flag} {path}: refused: expected a file of tensors alone, got another pickle or a "
            f"corrupt file ({type(error).__name__})"
        ) from error


def _unsafe_globals(path: Path) -> list[str]:
    """Return the names of all globals that loading a file would call."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # it knows zip files only
        return []


def load_model(
    folder: Path, family: Family, architecture: str, needed: Set[str]
) -> tuple[Any, str]:
    """Return the model of a folder in float32, as fairseq computes, and the dtype in its file.

    Args:
        needed: names in the family's table.
    Raises:
        ValueError: weights are missing, left over, of another shape or not zero where they have to
            be: all are named.
    """
    model_class = getattr(transformers_package(), architecture)
    with as_value_error("transformers cannot load it"):
        model, info = model_class.from_pretrained(
            folder,
            config=model_class.config_class.from_pretrained(folder, local_files_only=True),
            local_files_only=True,
            output_loading_info=True,
            dtype="auto",
            ignore_mismatched_sizes=True,
        )
    missing = needed & set(info["missing_keys"])
    unused = "|".join(family.unused)
    left_over = [n for n in info["unexpected_keys"] if not re.fullmatch(unused, n)]
    shapes = [str(entry) for entry in info["mismatched_keys"]]
    problems = Problems(name_problems(missing, left_over, shapes))
    problems.raise_if_any("the weights do not fit config.json; ")
    state = model.state_dict()
    nonzero = [name for name in family.zero if name in state and bool(state[name].any())]
    problems.unless(
        not nonzero, f"{', '.join(nonzero)}: expected zeros, as fairseq has no place for values"
    )
    problems.raise_if_any()
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return model.eval().float(), dtype


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
    """Copy all files but weights and what describes them: configuration and tokenizer."""
    folder.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        skipped = any(path.match(pattern) for pattern in (*WEIGHTS, *FOREIGN))
        if path.is_file() and not skipped and path.stat().st_size <= LARGEST_SIDE_FILE:
            shutil.copyfile(path, folder / path.name)
