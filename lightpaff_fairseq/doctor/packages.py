"""Versions of what the plug-in needs or can use, and what is wrong with them."""

import importlib
import sys
from importlib import metadata

MINIMUM = {  # as in setup.py
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
    "triton": "torch.compile on a GPU",
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
PYTHON = (3, 11)


def version(name: str) -> str | None:
    """Of an installed distribution; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.13.0+cpu` is (2, 13, 0)."""
    found = []
    for part in text.split("+")[0].split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


def package_problems() -> list[str]:
    """What is missing, too old, doubled, or not compiled, and what to do, a sentence each."""
    problems = []
    if sys.version_info < PYTHON:
        problems.append(f"Python {sys.version.split()[0]}: expected {_dotted(PYTHON)} or newer")
    for name in NEEDED:
        found = version(name)
        least = MINIMUM.get(name, ())
        if found is None:
            problems.append(f"{name} is not installed: run bash scripts/setup.sh")
        elif numbers(found) < least:
            problems.append(f"{name} {found}: expected {_dotted(least)} or newer")
    if version("fairseq") and version("fairseq-fixed"):
        problems.append(
            "fairseq and fairseq-fixed overwrite each other: pip uninstall fairseq, then "
            "pip install --force-reinstall --no-deps fairseq-fixed"
        )
    for module in COMPILED:
        try:
            importlib.import_module(module)
        except ImportError as error:
            problems.append(
                f"{module}: fairseq's compiled part cannot be loaded: {error}. If it was built for "
                "another numpy: pip cache remove fairseq_fixed, then pip install "
                "--force-reinstall --no-deps fairseq-fixed"
            )
    return problems


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
