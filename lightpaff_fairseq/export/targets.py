"""Where a student can be exported to, and what is possible there."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from .student import CLASSIFICATION, LANGUAGE_MODELING, MASKED_LM, TRANSLATION, Identity


@dataclass(frozen=True)
class Target:
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


_TARGETS = {
    "ctranslate2": Target(
        module="ctranslate2",
        packages=("ctranslate2",),
        extra="ctranslate2",
        students=(
            ("transformer", TRANSLATION),
            ("bart", TRANSLATION),
            ("transformer_lm", LANGUAGE_MODELING),
        ),
        quantizations=("int8", "int16", "float16", "bfloat16"),
    ),
    "onnx": Target(
        module="onnx",
        packages=("onnx", "onnxruntime"),
        extra="onnx",
        students=(("roberta", CLASSIFICATION), ("roberta", MASKED_LM)),
        quantizations=("int8",),
    ),
    "hf": Target(
        module="huggingface",
        packages=("transformers", "safetensors"),
        extra="hf",
        students=(),
        quantizations=(),
    ),
}
TARGETS = {
    name: target
    for name, target in _TARGETS.items()
    if importlib.util.find_spec(f"{__package__}.{target.module}")
}


def package_problem(name: str, flag: str = "--to") -> str | None:
    """Which package `--to name` lacks here and what installs it, in words; else None."""
    target = TARGETS[name]
    lacking = [p for p in target.packages if importlib.util.find_spec(p) is None]
    if not lacking:
        return None
    return (
        f"{flag} {name}: needs the package {' and '.join(lacking)}: "
        f"pip install 'lightpaff-fairseq[{target.extra}]'"
    )


def student_problem(name: str, identity: Identity) -> str | None:
    """Why a checkpoint cannot become a `name`, with all that is possible, in words; else None."""
    students = TARGETS[name].students
    if not students or (identity.family, identity.task) in students:
        return None
    possible = "; ".join(
        f"--to {other}: {', '.join(f'{model} of --task {task}' for model, task in each.students)}"
        for other, each in TARGETS.items()
        if each.students
    )
    return (
        f"{identity.named}: --to {name} does not take a {identity.family} of --task "
        f"{identity.task} (possible are {possible})"
    )


def quantization_problem(name: str, quantization: str | None) -> str | None:
    """Why weights cannot be quantized so, in words; else None."""
    possible = TARGETS[name].quantizations
    if quantization is None or quantization in possible:
        return None
    return (
        f"--quantization {quantization}: --to {name} has {', '.join(possible) or 'none'}; leave it "
        "out for float32"
    )
