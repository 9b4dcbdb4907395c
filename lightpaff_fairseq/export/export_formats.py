"""The formats that a student can be exported to, and what each takes."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from .loaded_model import CLASSIFICATION, LANGUAGE_MODELING, MASKED_LM, TRANSLATION, CheckpointInfo


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes:
        module: the module of this package that has `write` and `engine`.
        packages: what it needs; `extra`: the extra of this package that installs them.
        models: the (model, task) of fairseq that it takes; empty: the module decides.
        quantizations: of weights; empty: none.
    """

    module: str
    packages: tuple[str, ...]
    extra: str
    models: tuple[tuple[str, str], ...]
    quantizations: tuple[str, ...]

    def load(self) -> Any:
        """Import the module; its functions import the packages."""
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
        models=(("roberta", CLASSIFICATION), ("roberta", MASKED_LM)),
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
    """Return a message on the packages that `name` needs and that are not installed."""
    lacking = [p for p in FORMATS[name].packages if importlib.util.find_spec(p) is None]
    if not lacking:
        return None
    return (
        f"{flag} {name}: needs the package {' and '.join(lacking)}: "
        f"pip install 'lightpaff-fairseq[{FORMATS[name].extra}]'"
    )


def model_problem(name: str, info: CheckpointInfo) -> str | None:
    """Return a message, with all that is possible, if the format does not take the checkpoint."""
    models = FORMATS[name].models
    if not models or (info.family, info.task) in models:
        return None
    possible = "; ".join(
        f"--to {other}: {', '.join(f'{model} of --task {task}' for model, task in each.models)}"
        for other, each in FORMATS.items()
        if each.models
    )
    return (
        f"{info.named}: --to {name} does not take a {info.family} of --task {info.task} "
        f"(possible: {possible})"
    )


def quantization_problem(name: str, quantization: str | None) -> str | None:
    """Return a message if the format has no such quantization."""
    possible = FORMATS[name].quantizations
    if quantization is None or quantization in possible:
        return None
    return (
        f"--quantization {quantization}: --to {name} has {', '.join(possible) or 'none'}; leave it "
        "out for float32"
    )
