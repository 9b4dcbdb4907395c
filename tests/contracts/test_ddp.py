"""PyTorch's DistributedDataParallel, as fairseq wraps models on GPUs, on one CPU process.

fairseq gives it the number of a GPU, which is taken away here. A process group of one process makes
the wrapper look for parameters without a gradient, as with many.
"""

import pytest
import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.models import distributed_fairseq_model
from fairseq.trainer import Trainer

import toy
from cases import CASES
from pruning_runs import PRUNE, Run
from setting import Setting

RUN = ("--lr", 0.05, "--batch-size", 8, "--max-update", 3, "--disable-validation", "--seed", 2)
RUN += ("--optimizer", "sgd", "--update-epoch-batch-itr", True)
UNUSED = ("--find-unused-parameters",)  # refused without it, see tests/unit/test_launched_processes


@pytest.fixture
def wrapped(monkeypatch, tmp_path):
    """A function that switches the wrapper on; returns the models that it wrapped."""
    models = []

    class OnCpu(torch.nn.parallel.DistributedDataParallel):
        def __init__(self, module, device_ids, output_device, **kwargs):
            models.append(module)
            super().__init__(module, **kwargs)

    def switch_on():
        monkeypatch.setattr(distributed_fairseq_model, "DistributedDataParallel", OnCpu)
        monkeypatch.setattr(Trainer, "use_distributed_wrapper", True)
        return models

    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield switch_on
    torch.distributed.destroy_process_group()
    vars(distributed_utils.get_global_group).pop("_global_group", None)  # fairseq keeps it


def compare(folder, wrapped, argv, more=()):
    """Train plain and wrapped; the weights are equal."""
    toy.train(*argv, "--save-dir", folder / "plain")
    models = wrapped()
    toy.train(*argv, *more, "--save-dir", folder / "wrapped")
    assert models
    plain, ddp = (toy.checkpoint(folder / x / "checkpoint_last.pt") for x in ("plain", "wrapped"))
    assert ddp["optimizer_history"][-1]["num_updates"] == 3
    for part in ("model", "criterion"):
        for key, value in (plain[part] or {}).items():
            torch.testing.assert_close(ddp[part][key], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_wrapped_students_learn_the_same(case, tmp_path, wrapped):
    setting = Setting(case, tmp_path)
    more = UNUSED if case.name == "kd_lu" else ()
    kd = ("--kd-teacher", setting.path, "--kd-hidden-weight", 1, "--kd-embedding-weight", 1)
    compare(tmp_path, wrapped, case.argv(setting.data, *RUN, "--criterion", case.name, *kd), more)


def test_wrapped_students_prune_the_same(tmp_path, wrapped):
    run = Run("kd_ss", tmp_path)
    argv = run.argv(
        *RUN, *PRUNE[:4], "--prune-interval", 1, "--prune-start", 0.3, "--prune-end", 0.7
    )
    compare(tmp_path, wrapped, argv)


def test_classification_without_the_flag_stops_at_the_second_update(tmp_path, wrapped):
    setting = Setting(case := next(c for c in CASES if c.name == "kd_lu"), tmp_path)
    wrapped()
    argv = case.argv(setting.data, *RUN, "--criterion", "kd_lu", "--kd-teacher", setting.path)
    with pytest.raises(RuntimeError, match="Expected to have finished reduction"):
        toy.train(*argv, "--save-dir", tmp_path / "run")
