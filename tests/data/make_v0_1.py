"""Write files with lightpaff_fairseq 0.1.0, which later versions must still read.

Run in an empty folder that holds a link `lightpaff_fairseq` to the package of version 0.1.0:
    PYTHONPATH=<checkout of 0.1.0>:<its tests>:<its tests/contracts> python make_v0_1.py
"""

from pathlib import Path

import toy

toy.USER_DIR = "lightpaff_fairseq"  # relative: no path of the machine ends up in a checkpoint

from cases import CASES  # noqa: E402
from lightpaff_fairseq.cli.main import main  # noqa: E402
from pruning_runs import Run  # noqa: E402
from setting import Setting  # noqa: E402

HERE = Path(".")
BY_NAME = {case.name: case for case in CASES}
COMMON = ("--lr", 0.01, "--max-tokens", 100, "--seed", 3, "--update-epoch-batch-itr", True)
COMMON += ("--no-epoch-checkpoints",)


def kd_run(name: str, *flags: object) -> None:
    """Data, a teacher, and a run of two epochs with matched layers and a projection."""
    case, folder = BY_NAME[name], HERE / name
    setting = Setting(case, folder)
    argv = case.argv(setting.data, "--criterion", name, "--kd-teacher", setting.path, *COMMON)
    toy.train(*argv, *flags, "--max-epoch", 2, "--save-dir", folder / "run")
    for file in (folder / "run").glob("checkpoint_best.pt"):
        file.unlink()
    cache = ("cache-teacher", *case.argv(setting.data, "--criterion", name, "--num-workers", 0))
    own = ("--path", setting.path, "--out", folder / "cache", "--block-tokens", 60, "--cpu")
    more = ("--epochs", 2) if name == "kd_mlm" else ()
    assert main([str(x) for x in (*cache, *own, "--topk", 4, *more)]) == 0


kd_run("kd_ss", "--kd-hidden-weight", 1, "--kd-attention-weight", 1, "--kd-layer-map", "last")
kd_run("kd_mlm", "--kd-embedding-weight", 1)
for name in ("kd_mssm", "kd_lu", "kd_lm", "kd_clm"):  # one checkpoint of every criterion
    case, folder = BY_NAME[name], HERE / name
    setting = Setting(case, folder)
    argv = case.argv(setting.data, "--criterion", name, "--kd-teacher", setting.path, *COMMON)
    toy.train(*argv, "--kd-hidden-weight", 1, "--max-epoch", 1, "--save-dir", folder / "run")
    for file in (folder / "run").glob("checkpoint_best.pt"):
        file.unlink()

folder = HERE / "pruning"
run = Run("kd_ss", folder)
small = ("--prune-target-width", 0.5, "--prune-multiple", 4)
small += ("--prune-interval", 2, "--prune-start", 2, "--prune-end", 8, "--max-update", 12)
small += ("--save-interval-updates", 5, "--keep-interval-updates", 5)
toy.train(*run.argv(*small, "--save-dir", folder / "run"))
for file in (folder / "run").iterdir():  # in the middle of pruning, and when it was over
    if file.name not in ("checkpoint_1_5.pt", "checkpoint_last.pt"):
        file.unlink()

ss = HERE / "kd_ss"
words = ("seq-kd", ss / "data", "--path", ss / "teacher.pt", "--out", ss / "seq_kd", "--cpu")
words += ("--num-workers", 0, "--beam", 3, "--max-len-b", 6, "--max-tokens", 60)
words += ("--keep-cut", "--block-size", 8)
assert main([str(x) for x in words]) == 0
