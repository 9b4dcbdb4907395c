"""Check that fairseq uses this plug-in, and list what the plug-in changes in fairseq."""

import os
from pathlib import Path
from typing import Any

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY

from ..compat import REPAIRS
from ..problems import Problems
from ..trainer_hooks import HOOKS

PACKAGE = Path(__file__).parents[1]
REGISTERED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "criterion": (
        CRITERION_REGISTRY,
        ("kd_mlm", "kd_clm", "kd_mssm", "kd_lu", "kd_lm", "kd_ss", "kd_embed"),
    ),
    "task": (TASK_REGISTRY, ("masked_seq2seq",)),
    "model": (MODEL_REGISTRY, ("mass",)),
}


def change_lines() -> list[str]:
    """Describe every repair of fairseq and every hook into it, one line each."""
    return [
        f"{kind} {change.name}: {change.target}{_issues(change.issues)}: {change.state}"
        for kind, changes in (("repair", REPAIRS), ("hook", HOOKS))
        for change in changes
    ]


def _issues(numbers: tuple[int, ...]) -> str:
    return f" (fairseq {', '.join(f'#{number}' for number in numbers)})" if numbers else ""


def plugin_problems() -> Problems:
    """Find names that another plug-in took, other copies, and a misleading environment.

    fairseq ignores a task or model of a name that is taken.
    """
    problems = Problems()
    for kind, (registry, names) in REGISTERED.items():
        for name in names:
            module = registry[name].__module__ if name in registry else "nothing"
            problems.unless(
                module.startswith(f"{PACKAGE.name}."),
                f"{kind} {name}: expected that of {PACKAGE.name}, got that of {module}",
            )
    other = Path.cwd() / PACKAGE.name
    problems.unless(
        not other.is_dir() or other.resolve() == PACKAGE.resolve(),
        f"--user-dir {PACKAGE.name} would mean {other}, but {PACKAGE} is installed: give "
        '--user-dir "$(lightpaff user-dir)", or install this copy',
    )
    launched = os.environ.get("WORLD_SIZE", "1")
    problems.unless(
        launched == "1" or "LOCAL_RANK" in os.environ,
        f"WORLD_SIZE={launched} is set: fairseq-train would wait for other ranks",
    )
    return problems
