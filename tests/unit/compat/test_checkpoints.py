"""fairseq's checkpoints load safely, those of older versions too."""

import argparse
import logging

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(arch="transformer", layers=2),
        np.array([1, 2, 3]),
        np.array([0.5], dtype=np.float32),
        np.float64(3.0),
        np.int64(3),
        OmegaConf.create({"a": [1, {"b": "x"}], "c": None, "d": 0.5}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_checkpoints_of_fairseqs_own_classes_load_safely(value, tmp_path):
    torch.save({"x": value}, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt", weights_only=True)["x"]
    assert np.array_equal(loaded, value) if isinstance(value, np.ndarray) else loaded == value


def test_other_classes_stay_refused(tmp_path):
    torch.save({"x": logging.getLogger("x")}, tmp_path / "x.pt")
    with pytest.raises(Exception, match="logging"):
        torch.load(tmp_path / "x.pt", weights_only=True)


def test_checkpoints_without_a_criterion_can_be_fine_tuned_from(tmp_path):
    """As released models are: fairseq wants the entry where the criterion has parameters."""
    history = [{"num_updates": 0, "optimizer_name": "x", "lr_scheduler_state": {}}]
    old = {"args": None, "cfg": {"model": {}}, "model": {}, "optimizer_history": history}
    old |= {"extra_state": {"train_iterator": {"epoch": 1}}, "last_optimizer_state": None}
    torch.save(old, tmp_path / "old.pt")
    torch.save(old | {"criterion": {"w": torch.ones(1)}}, tmp_path / "new.pt")
    load = checkpoint_utils.load_checkpoint_to_cpu
    assert load(str(tmp_path / "old.pt"))["criterion"] is None
    assert load(str(tmp_path / "new.pt"))["criterion"] == {"w": torch.ones(1)}
