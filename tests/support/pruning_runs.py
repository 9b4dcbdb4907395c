"""Training runs of prunable tasks on toy data, from a random teacher that the student equals."""

import copy

import torch
from fairseq import tasks

import toy
from cases import CASES

# one criterion a prunable task
NAMES = ("kd_mlm", "kd_clm", "kd_mssm", "kd_lu", "kd_ss")
BY_NAME = {case.name: case for case in CASES if case.name in NAMES}
SIZES = {"embed-dim": 16, "ffn-embed-dim": 24, "attention-heads": 4, "layers": 2}
OPTIMIZER = ("--lr", 0.01, "--max-tokens", 60, "--update-epoch-batch-itr", True, "--seed", 3)
PRUNE = ("--prune-target-width", 0.5, "--prune-multiple", 4, "--prune-interval", 2)
PRUNE += ("--prune-start", 2, "--prune-end", 8)


def prunable(task):
    return (task[0], f"prunable_{task[1]}", *task[2:])


class Run:
    """Data and a teacher; trainings of a student that starts as the teacher.

    A folder that holds both already is used as it is.
    """

    def __init__(self, name, folder):
        self.case, self.folder = BY_NAME[name], folder
        self.data, self.teacher = folder / "data", folder / "teacher.pt"
        sides = [x for s in self.case.sides for k, v in SIZES.items() for x in (f"--{s}-{k}", v)]
        if "transformer_lm" in self.case.arch:
            sides += ["--decoder-input-dim", 16, "--decoder-output-dim", 16]
        self.model = (*self.case.arch, *sides, "--dropout", 0, "--attention-dropout", 0)
        if not self.teacher.exists():
            self.case.data(self.data)
            self._save_teacher()

    def _save_teacher(self):
        cfg = toy.parse(self.data, *self.case.task, *self.model, "--criterion", self.case.stock)
        torch.manual_seed(5)
        model = tasks.setup_task(cfg.task).build_model(cfg.model)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p) * 0.1)
        toy.save_model(self.teacher, cfg, model)

    def argv(self, *flags, task=None):
        kd = ("--criterion", self.case.name, "--kd-teacher", self.teacher)
        start = ("--finetune-from-model", self.teacher)
        task = task or prunable(self.case.task)
        return (self.data, *task, *self.model, *OPTIMIZER, *kd, *start, *flags)

    def train(self, save_dir, *flags, task=None):
        """The last checkpoint of a training."""
        toy.train(*self.argv(*flags, "--save-dir", save_dir, task=task))
        return copy.deepcopy(toy.checkpoint(save_dir / "checkpoint_last.pt"))


def pruning(state):
    """What the pruner stored."""
    (found,) = [
        value
        for name, value in state["extra_state"].items()
        if isinstance(value, dict) and name.startswith("Prunable")
    ]
    return found


def assert_equal(a, b):
    """Nested dicts of tensors and plain values, bit by bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert_equal(value, b[key])
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b
