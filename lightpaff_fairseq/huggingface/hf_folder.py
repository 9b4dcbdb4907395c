"""Reading and writing Hugging Face folders, safely and without a network."""

import json
import re
import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .families.family import Family
from .packages import transformers_package
from .pickles import load_tensors

WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")
NAMES = (("model", "safetensors"), ("pytorch_model", "bin"))  # of files with weights, or shards
FOREIGN = ("*.md", ".*", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.pt", "*.pth")
LARGEST_SIDE_FILE = 64 * 2**20  # bytes: tokenizers are smaller, weights are larger


@dataclass(frozen=True)
class Source:
    """A Hugging Face folder, read.

    Attributes:
        config: as `config.json` says, defaults filled in.
        architecture: the class of transformers that holds the model.
        model: in float32, as fairseq computes; `dtype`: what the file had.
    """

    config: dict[str, Any]
    architecture: str
    model: Any
    dtype: str

    @property
    def state(self) -> dict[str, Tensor]:
        """The model's state dict; tied names are one tensor."""
        return dict(self.model.state_dict())


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder.

    Raises:
        ValueError: no such folder, no such file, or not a configuration.
    """
    if not folder.is_dir():
        raise ValueError(f"--from hf {folder}: no such folder")
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(
            f"--from hf {folder}: expected a Hugging Face folder, found no config.json"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"--from hf {path}: damaged: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ValueError(
            f"--from hf {path}: expected a configuration with a model_type, found none"
        )
    return config


def full_config(folder: Path, architecture: str) -> dict[str, Any]:
    """The configuration of a folder with the defaults of a class filled in.

    Raises:
        ValueError: it holds what the class refuses, or the weights are quantized.
    """
    kind = getattr(transformers_package(), architecture).config_class
    try:
        values: dict[str, Any] = kind.from_pretrained(folder, local_files_only=True).to_dict()
    except Exception as error:  # whatever transformers raises
        raise ValueError(
            f"--from hf {folder / 'config.json'}: transformers refuses it: {short(error)}"
        ) from error
    if values.get("quantization_config"):
        raise ValueError(
            f"--from hf {folder}: quantization_config: expected none, found quantized weights; "
            "convert the model that they were made of"
        )
    return values


def short(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def check_weights(folder: Path) -> None:
    """Refuses a folder without weights, with damaged ones or with a pickle that would run code.

    Raises:
        ValueError: names the file and, for a pickle, what it wants to call.
    """
    from safetensors import SafetensorError, safe_open

    # Only what transformers reads, in its order: a training_args.bin beside it is nobody's business
    found = [sorted(folder.glob(f"{name}*.{end}")) for name, end in NAMES]
    paths = next((each for each in found if each), [])
    if not paths:
        raise ValueError(
            f"--from hf {folder}: expected model.safetensors or pytorch_model.bin, found neither"
        )
    for path in paths:
        if path.suffix == ".bin":
            load_tensors(path, "--from hf", "meta")
            continue
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ValueError(f"--from hf {path}: damaged: {error}") from error


def load_source(folder: Path, family: Family, architecture: str, needed: Set[str]) -> Source:
    """Loads the model.

    Args:
        needed: the names that the family's table wants.
    Raises:
        ValueError: weights are missing, left over, of another shape or not zero where they have to
            be: all are named.
    """
    model_class = getattr(transformers_package(), architecture)
    try:
        config = model_class.config_class.from_pretrained(folder, local_files_only=True)
        model, info = model_class.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            output_loading_info=True,
            dtype="auto",
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # whatever transformers raises
        raise ValueError(
            f"--from hf {folder}: transformers cannot load it: {short(error)}"
        ) from error
    _check_loaded(folder, family, info, needed)
    model = model.eval()
    _check_zero(folder, family, dict(model.state_dict()))
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return Source(config.to_dict(), architecture, model.float(), dtype)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder.

    Raises:
        ValueError: there is none, or transformers cannot load it.
    """
    try:
        return transformers_package().AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a tokenizer of any kind raises
        raise ValueError(f"--from hf {folder}: no usable tokenizer: {short(error)}") from error


def _check_loaded(folder: Path, family: Family, info: dict[str, Any], needed: Set[str]) -> None:
    missing = [n for n in info["missing_keys"] if n in needed]
    extra = [n for n in info["unexpected_keys"] if not matches(n, family.unused)]
    shapes = [str(entry) for entry in info["mismatched_keys"]]
    found = {"missing": missing, "left over": extra, "of another shape": shapes}
    lines = [f"{what}: {', '.join(sorted(names))}" for what, names in found.items() if names]
    if lines:
        raise ValueError(
            f"--from hf {folder}: the weights do not fit config.json; {'; '.join(lines)}"
        )


def _check_zero(folder: Path, family: Family, state: dict[str, Tensor]) -> None:
    wrong = [n for n in family.zero if n in state and bool(state[n].any())]
    if wrong:
        raise ValueError(
            f"--from hf {folder}: expected zeros, as fairseq has no place for them, in "
            f"{', '.join(wrong)}"
        )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of several regular expressions."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def copy_side_files(source: Path, folder: Path) -> list[str]:
    """Copies what is neither weights nor a description of them; returns the names."""
    folder.mkdir(exist_ok=True)
    names = []
    for path in sorted(source.iterdir()):
        weights = any(path.match(pattern) for pattern in (*WEIGHTS, *FOREIGN))
        if path.is_file() and not weights and path.stat().st_size <= LARGEST_SIDE_FILE:
            shutil.copyfile(path, folder / path.name)
            names.append(path.name)
    return names
