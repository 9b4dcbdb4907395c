"""Where a student can be exported to, and what is possible there."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from .loaded_model import CLASSIFICATION, LANGUAGE_MODELING, MASKED_LM, TRANSLATION, CheckpointInfo


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes:
        module: of this package, with `write` and `engine`.
        packages: what it needs; `extra`: of setup.py, installs them.
        students: the (model, task) of fairseq that it takes; empty: the module decides.
        quantizations: of weights; empty: none.
    """

    module: str
    packages: tuple[str, ...]
    extra: str
    students: tuple[tuple[str, str], ...]
    quantizations: tuple[str, ...]

    def load(self) -> Any:
        """The module; only then its packages are imported, inside its functions."""
        return importlib.import_module(f".{self.module}", __package__)


FORMATS = {
    "ctranslate2": ExportFormat(
        module="to_ctranslate2",
        packages=("ctranslate2",),
        extra="ctranslate2",
        students=(
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
        students=(("roberta", CLASSIFICATION), ("roberta", MASKED_LM)),
        quantizations=("int8",),
    ),
    "hf": ExportFormat(
        module="to_huggingface",
        packages=("transformers", "safetensors"),
        extra="hf",
        students=(),
        quantizations=(),
    ),
}


def package_problem(name: str, flag: str = "--to") -> str | None:
    """Which package `--to name` lacks here and what installs it, in words; else None."""
    target = FORMATS[name]
    lacking = [p for p in target.packages if importlib.util.find_spec(p) is None]
    if not lacking:
        return None
    return (
        f"{flag} {name}: needs the package {' and '.join(lacking)}: "
        f"pip install 'lightpaff-fairseq[{target.extra}]'"
    )


def student_problem(name: str, info: CheckpointInfo) -> str | None:
    """Why a checkpoint cannot become a `name`, with all that is possible, in words; else None."""
    students = FORMATS[name].students
    if not students or (info.family, info.task) in students:
        return None
    possible = "; ".join(
        f"--to {other}: {', '.join(f'{model} of --task {task}' for model, task in each.students)}"
        for other, each in FORMATS.items()
        if each.students
    )
    return (
        f"{info.named}: --to {name} does not take a {info.family} of --task "
        f"{info.task} (possible are {possible})"
    )


def quantization_problem(name: str, quantization: str | None) -> str | None:
    """Why weights cannot be quantized so, in words; else None."""
    possible = FORMATS[name].quantizations
    if quantization is None or quantization in possible:
        return None
    return (
        f"--quantization {quantization}: --to {name} has {', '.join(possible) or 'none'}; leave it "
        "out for float32"
    )
