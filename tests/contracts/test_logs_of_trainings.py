"""`lightpaff report` reads what fairseq itself logs of a training, in both of its formats."""

import logging
from contextlib import contextmanager

import fairseq_cli.train
import pytest

import toy
from lightpaff_fairseq.checkpoints.state_dict import KEPT
from lightpaff_fairseq.report.log import read_log
from pruning_runs import Run

PRUNE = ("--prune-target-width", 0.5, "--prune-multiple", 4, "--prune-interval", 1)
PRUNE += ("--prune-start", 0, "--prune-end", 4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run("kd_clm", tmp_path_factory.mktemp("run"))


@contextmanager
def logged_to(path):
    """As fairseq-train writes its log."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


def train(run, folder, updates, kind, log):
    flags = ("--save-dir", folder, "--max-update", updates, "--log-format", kind)
    flags += ("--log-interval", 1, "--cpu", "--num-workers", 0, "--kd-hidden-weight", 1)
    with logged_to(log):
        fairseq_cli.train.main(toy.parse(*run.argv(*PRUNE, *flags)))


@pytest.mark.parametrize("kind", ["json", "simple"])
def test_a_pruning_run_that_is_resumed(run, kind, tmp_path):
    path = tmp_path / "pruned.log"
    train(run, tmp_path / "run", 4, kind, path)
    first = read_log(path)
    train(run, tmp_path / "run", 6, kind, path)
    log = read_log(path)
    assert (first.starts, log.starts) == (1, 2) and log.is_finished and not log.problems
    sparsity, kl = (log.curves["training"][name] for name in ("prune_sparsity", "kd_loss"))
    assert list(sparsity) == list(kl) == [1, 2, 3, 4, 5, 6]
    assert {u: sparsity[u] for u in range(1, 5)} == first.curves["training"]["prune_sparsity"]
    assert log.curves["training"]["kd_hidden"][6] > 0
    assert [m for m in log.curves["valid"] if m in ("loss", "ppl")] == ["loss", "ppl"]
    assert "prune_sparsity" not in log.curves["valid"]

    values = list(sparsity.values())
    assert values == sorted(values) and values[3] == values[5] > 0.3
    state = toy.checkpoint(tmp_path / "run" / "checkpoint_last.pt")
    assert values[-1] == pytest.approx(naive_sparsity(state, log.parameters), abs=1e-4)
    assert log.pruned_at == 4

    assert log.provenance["command"] and log.provenance["versions"]["torch"]
    assert log.task == "language_modeling"
    settings = log.configuration
    assert settings["criterion._name"] == "kd_clm" and settings["optimization.max_update"] == 6
    assert settings["task.prune_target_width"] == 0.5
    assert settings["model._name"] == "transformer_lm"
    assert settings["criterion.kd_hidden_weight"] == 1


def naive_sparsity(state, parameters):
    """The part of the weights that is zero: the teacher is random, so nothing else is."""
    tensors = []
    for name, value in state["model"].items():
        is_tied = any(value.shape == other.shape and value.equal(other) for other in tensors)
        if not is_tied and not name.endswith((KEPT, "version", "_float_tensor")):
            tensors.append(value)
    assert sum(value.numel() for value in tensors) == parameters
    return sum(int((value == 0).sum()) for value in tensors) / parameters
