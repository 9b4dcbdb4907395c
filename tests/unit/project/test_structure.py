"""The layers of the package, and the size of its files."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "lightpaff_fairseq"
sys.path.insert(0, str(ROOT / "scripts"))

import size  # noqa: E402

# From the bottom to the top: a package or module imports from rows below its own.
LAYERS = (
    (
        "problems",
        "megabytes",
        "progress",
        "timing",
        "child_process",
        "json_files",
        "disk_errors",
        "output_file",
        "embedding_poolings",
    ),
    ("output_file", "flags", "launched_processes", "block_progress", "data_shards"),
    ("fairseq_flags", "subwords", "one_line_errors", "losses", "checkpoints", "compat"),
    ("protocols",),
    ("models", "pruning", "shards"),
    ("teachers", "tasks"),
    ("criterions",),
    ("provenance", "launch_checks", "resuming", "training_state"),
    ("trainer_hooks",),
    ("registration",),
    ("doctor", "evaluation", "flags_reference", "huggingface"),
    ("export", "report"),
    ("benchmark", "sequence_kd", "training"),
    ("augmentation", "trimming"),
    ("distill",),
    ("cli",),
)
ROW = {name: row for row, names in enumerate(LAYERS) for name in names}


def imported(path):
    """(top-level name, full name) of everything in the package that a module imports."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) + 1 - node.level]
            for name in (node.module or "").split() or [alias.name for alias in node.names]:
                full = (*above, *name.split("."))
                yield full[0], ".".join(full)


@pytest.mark.slow
def test_imports_go_one_way():
    upwards, count = [], 0
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for top, name in imported(path):
            if own in ("__init__", top) or top == "__version__":
                continue
            count += 1
            if ROW[top] >= ROW[own]:
                upwards.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert count > 100
    assert not upwards, upwards


def test_every_package_has_a_layer():
    names = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert names - {"__init__"} == set(ROW)


def test_losses_import_nothing_of_fairseq():
    paths = list((PACKAGE / "losses").rglob("*.py"))
    assert len(paths) > 5
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [m for m in modules if m.startswith("fairseq")], path
        assert {top for top, _ in imported(path)} <= {"losses", "problems"}, path


def test_files_are_short():
    sizes = size.files()
    assert len(sizes) > 100
    assert size.long_files(sizes) == {}
    assert size.long_functions() == {}
