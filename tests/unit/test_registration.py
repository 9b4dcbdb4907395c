"""The package registers with fairseq in either order of imports, and waits for nobody else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import lightpaff_fairseq

PACKAGE = Path(lightpaff_fairseq.__file__).parent
IMPORTS_FAIRSEQ = re.compile(r"^ *(from|import) fairseq\b", re.M)
HEAVY = ("torch", "fairseq", "numpy")
REGISTERED = """
from fairseq.criterions import CRITERION_REGISTRY as criterions
from fairseq.models import ARCH_MODEL_REGISTRY as archs, MODEL_REGISTRY as models
from fairseq.tasks import TASK_REGISTRY as tasks
from fairseq.data import data_utils
own = lambda r: sorted(k for k, v in r.items() if v.__module__.startswith("lightpaff_fairseq."))
print(own(criterions), own(tasks), own(models), len([a for a in archs if "mass" in a]))
print(hasattr(data_utils.batch_by_size, "__wrapped__"))
"""


def run(code, *argv):
    words = [sys.executable, "-c", code, *argv]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


COMMANDS = [["user-dir"], ["--help"], ["--version"], ["report", "--help"]]


@pytest.mark.parametrize("argv", COMMANDS)
def test_commands_that_need_neither_torch_nor_fairseq_import_neither(argv):
    code = f"""
import sys
from lightpaff_fairseq.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("imported:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    assert run(code, *argv).endswith("imported: []\n")


# What fairseq imports, so that a fork of this process only imports fairseq and the plug-in.
PRELOADED = """
import contextlib, importlib, io, os, sys, traceback
import hydra.experimental, numpy, omegaconf, sacrebleu, scipy.stats, sklearn.metrics, torch
import torch.distributed.rpc, torch.onnx.operators
def forked(work):
    sys.stdout.flush()
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    try:
        work()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""
ORDERS = (
    "import lightpaff_fairseq, fairseq",
    "import fairseq, lightpaff_fairseq",
    "import lightpaff_fairseq.losses.dense, fairseq",
    "import lightpaff_fairseq.criterions",
    "import lightpaff_fairseq.compat",
    "from fairseq import tasks; import lightpaff_fairseq",
)


@pytest.mark.slow
def test_every_order_of_imports_registers_the_same():
    code = f"""{PRELOADED}
for order in sys.argv[1:]:
    assert not forked(lambda: exec(f"{{order}}\\n" + {REGISTERED!r}, {{}}))
"""
    lines = run(code, *ORDERS).splitlines()
    assert len(lines) == 2 * len(ORDERS)
    registered, is_repaired = lines[:2]
    for name in (
        "kd_mlm",
        "kd_clm",
        "kd_mssm",
        "kd_lu",
        "kd_lm",
        "kd_ss",
        "kd_embed",
        "masked_seq2seq",
    ):
        assert f"'{name}'" in registered
    assert "'mass'" in registered and "'prunable_translation'" in registered
    assert is_repaired == "True"
    assert lines == lines[:2] * len(ORDERS)


@pytest.mark.slow
def test_every_module_that_registers_may_be_imported_first():
    """Each in a process of its own, which is forked after PyTorch was imported."""
    code = f"""{PRELOADED}
def work():
    module = importlib.import_module(name)
    import fairseq.criterions
    assert "kd_ss" in fairseq.criterions.CRITERION_REGISTRY, "not registered"
    assert sys.modules[name] is importlib.import_module(name)
    from lightpaff_fairseq import trainer_hooks
    hooks = [hook.state for hook in trainer_hooks.HOOKS]
    assert hooks == ["active"] * len(hooks), hooks
for name in sys.argv[1:]:
    print(name, forked(work))
"""
    top = sorted(x.stem for x in PACKAGE.glob("*.py") if IMPORTS_FAIRSEQ.search(x.read_text()))
    inner = ["checkpoints.legacy", "compat.patching", "criterions.distillation", "models.mass"]
    inner += ["pruning.pruner", "tasks.pruning", "teachers.online"]
    inner += ["one_line_errors", "progress"]  # which import nothing of fairseq
    names = [f"lightpaff_fairseq.{name}" for name in (*top, *inner)]
    assert len(names) > 9
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{name} 0" for name in names], done.stderr
