"""Check the versions of required and optional packages."""

import importlib
import sys

from ..problems import Problems
from ..provenance import version

PYTHON = (3, 11)
MINIMUM = {  # as in pyproject.toml
    "torch": (2, 6),
    "fairseq-fixed": (0, 12, 3),
    "numpy": (1, 24),
    "sentencepiece": (0, 2),
    "sacrebleu": (2, 0),
}
NEEDED = (*MINIMUM, "hydra-core", "omegaconf")
OPTIONAL = {
    "fastBPE": "--bpe fastbpe",
    "rouge-score": "lightpaff evaluate --metrics rouge1",
    "matplotlib": "lightpaff report",
    "transformers": "lightpaff convert, export --to hf",
    "ctranslate2": "lightpaff export --to ctranslate2",
    "onnxruntime": "lightpaff export --to onnx",
    "apex": "fused LayerNorm, Adam and cross entropy on a GPU",
    "triton": "--kd-kernel triton, torch.compile on a GPU",
    "tensorboardX": "--tensorboard-logdir",
    "liger-kernel": "lightpaff benchmark loss --peers",
    "torchtune": "lightpaff benchmark loss --peers",
    "textbrewer": "lightpaff benchmark loss --peers",
}
COMPILED = (
    "fairseq.data.data_utils_fast",
    "fairseq.data.token_block_utils_fast",
    "fairseq.libbleu",
)


def version_numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: `2.13.0+cpu` is (2, 13, 0)."""
    numbers = []
    for part in text.split("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def package_problems() -> Problems:
    """Return problems with packages that are missing, too old, duplicated, or not compiled."""
    problems = Problems()
    problems.unless(
        sys.version_info >= PYTHON,
        f"Python {sys.version.split()[0]}: expected {_dotted(PYTHON)} or newer",
    )
    problems.extend(map(_version_problem, NEEDED))
    problems.unless(
        not (version("fairseq") and version("fairseq-fixed")),
        "fairseq and fairseq-fixed overwrite each other: pip uninstall fairseq, then "
        "pip install --force-reinstall --no-deps fairseq-fixed",
    )
    problems.extend(map(_import_problem, COMPILED))
    return problems


def _version_problem(name: str) -> str | None:
    installed, least = version(name), MINIMUM.get(name, ())
    if installed is None:
        return f"{name} is not installed: run bash scripts/setup.sh"
    if version_numbers(installed) < least:
        return f"{name} {installed}: expected {_dotted(least)} or newer"
    return None


def _import_problem(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return (
            f"{module}: fairseq's compiled part cannot be loaded: {error}. If it was built for "
            "another numpy: pip cache remove fairseq_fixed, then pip install "
            "--force-reinstall --no-deps fairseq-fixed"
        )
    return None


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
