"""The export formats, and the models that each supports."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from .loaded_model import (
    CLASSIFICATION,
    EMBEDDING,
    LANGUAGE_MODELING,
    MASKED_LM,
    TRANSLATION,
    CheckpointInfo,
)


@dataclass(frozen=True)
class ExportFormat:
    """An export format.

    Attributes:
        module: the module of this package with `write` and `engine`.
        packages: required packages; `extra`: the extra of this package that installs them.
        models: supported (model, task) pairs of fairseq; empty: the module decides.
        quantizations: supported quantizations of weights.
    """

    module: str
    packages: tuple[str, ...]
    extra: str
    models: tuple[tuple[str, str], ...]
    quantizations: tuple[str, ...]

    def load(self) -> Any:
        """Import the module, which imports the packages inside its functions."""
        return importlib.import_module(f".{self.module}", __package__)


FORMATS = {
    "ctranslate2": ExportFormat(
        module="to_ctranslate2",
        packages=("ctranslate2",),
        extra="ctranslate2",
        models=(
            ("transformer", TRANSLATION),
            ("bart", TRANSLATION),
            ("transformer_lm", LANGUAGE_MODELING),
        ),
        quantizations=("int8", "int16", "float16", "bfloat16"),
    ),
    "onnx": ExportFormat(
        module="to_onnx",
        packages=("onnx", "onnxruntime"),
        extra="onnx",
        models=(("roberta", CLASSIFICATION), ("roberta", MASKED_LM), ("roberta", EMBEDDING)),
        quantizations=("int8",),
    ),
    "hf": ExportFormat(
        module="to_huggingface",
        packages=("transformers", "safetensors"),
        extra="hf",
        models=(),
        quantizations=(),
    ),
}


def package_problem(name: str, flag: str = "--to") -> str | None:
    """Return a message if a package that the format needs is not installed."""
    lacking = [p for p in FORMATS[name].packages if importlib.util.find_spec(p) is None]
    if not lacking:
        return None
    return (
        f"{flag} {name}: needs the package {' and '.join(lacking)}: "
        f"pip install 'lightpaff-fairseq[{FORMATS[name].extra}]'"
    )


def model_problem(name: str, info: CheckpointInfo) -> str | None:
    """Return a message if the format does not support the checkpoint."""
    models = FORMATS[name].models
    if not models or (info.family, info.task) in models:
        return None
    supported = "; ".join(
        f"--to {other}: {', '.join(f'{model} of --task {task}' for model, task in each.models)}"
        for other, each in FORMATS.items()
        if each.models
    )
    return (
        f"{info.named}: --to {name} does not support a {info.family} model of --task {info.task} "
        f"(supported: {supported})"
    )


def quantization_problem(name: str, quantization: str | None) -> str | None:
    """Return a message if the format does not support the quantization."""
    supported = FORMATS[name].quantizations
    if quantization is None or quantization in supported:
        return None
    return (
        f"--quantization {quantization}: --to {name} supports {', '.join(supported) or 'none'}; "
        "leave it out for float32"
    )
