"""Whether this plug-in is the one that fairseq uses."""

import os
from pathlib import Path

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY

PACKAGE = Path(__file__).parents[1]
OURS = {  # fairseq ignores a task or model of a name that is taken
    "criterion": (CRITERION_REGISTRY, ("kd_mlm", "kd_clm", "kd_mssm", "kd_lu", "kd_lm", "kd_ss")),
    "task": (TASK_REGISTRY, ("masked_seq2seq",)),
    "model": (MODEL_REGISTRY, ("mass",)),
}


def plugin_problems() -> list[str]:
    """Names that another plug-in took, other copies, and a misleading environment."""
    problems = []
    for kind, (registry, names) in OURS.items():
        for name in names:
            found = getattr(registry.get(name), "__module__", "nothing")
            if not found.startswith(f"{PACKAGE.name}."):
                problems.append(f"{kind} {name}: expected ours, found that of {found}")
    other = Path.cwd() / PACKAGE.name
    if other.is_dir() and other.resolve() != PACKAGE.resolve():
        problems.append(
            f"--user-dir {PACKAGE.name} would mean {other}, but {PACKAGE} is installed: give "
            '--user-dir "$(lightpaff user-dir)", or install this copy'
        )
    launched = os.environ.get("WORLD_SIZE", "1")
    if launched != "1" and "LOCAL_RANK" not in os.environ:
        problems.append(f"WORLD_SIZE={launched} is set: fairseq-train would wait for other ranks")
    return problems
