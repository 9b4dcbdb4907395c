"""Two processes take the same steps as one process with --update-freq 2."""

import signal
import types

import pytest
import torch
from fairseq import tasks

import launches
import toy
from caching import build_cache
from cases import CASES
from pruning_runs import PRUNE, Run, assert_equal, pruning

RUN = ("--lr", 0.05, "--batch-size", 4, "--max-update", 3, "--disable-validation", "--seed", 2)
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked")]
QUIET = ("--num-workers", 0, "--no-progress-bar", "--update-epoch-batch-itr", True)


def two_flags(folder, *argv):
    return (*argv, *QUIET, *launches.CPU, "--user-dir", toy.USER_DIR, "--save-dir", folder)


def start_two(folder, *argv, launcher=launches.of_torchrun):
    """Trains in two processes that share batches, as torchrun or srun would start them."""
    logs = folder.with_name(f"{folder.name}.logs")
    launches.run(launcher, 2, logs, *two_flags(folder, *argv))


def last_update(folder):
    return toy.checkpoint(folder / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"]


# tied head, with projections; untied head; no teacher (test_two_machines: a head with layers)
USES = {"kd_ss": ("--kd-hidden-weight", 1), "kd_lm": (), "kd_ss cached": ()}
USES["kd_ss on-policy"] = ("--kd-on-policy", 0.7, "--kd-on-policy-interval", 2)
USES["kd_ss on-policy"] += ("--kd-on-policy-args", '{"beam": 2, "max_len_b": 4}')


@pytest.mark.parametrize("use", USES)
def test_two_processes_equal_one(use, tmp_path):
    name = use.split()[0]
    case = next(c for c in CASES if c.name == name)
    data = case.data(tmp_path / "data")
    cfg = toy.parse(*case.argv(data, *RUN, teacher=True))
    torch.manual_seed(5)
    teacher = tasks.setup_task(cfg.task).build_model(cfg.model)
    path = toy.save_model(tmp_path / "teacher.pt", cfg, teacher)
    teacher = ("--kd-teacher", path)
    if use.endswith("cached"):
        setting = types.SimpleNamespace(case=case, data=data, path=path)
        assert build_cache(setting, tmp_path / "cache", "--topk", 4) == 0
        teacher = ("--kd-cache", tmp_path / "cache")
    kd = ("--criterion", name, *teacher, *USES[use])
    argv = case.argv(data, *RUN, *kd, "--optimizer", "sgd")
    toy.train(*argv, *QUIET[2:], "--update-freq", 2, "--save-dir", tmp_path / "one")

    launcher = launches.of_srun if use == "kd_ss" else launches.of_torchrun
    start_two(tmp_path / "two", *argv, launcher=launcher)

    one, two = (toy.checkpoint(tmp_path / x / "checkpoint_last.pt") for x in ("one", "two"))
    assert one["optimizer_history"][-1]["num_updates"] == 3
    assert two["optimizer_history"][-1]["num_updates"] == 3
    for part in ("model", "criterion"):
        for key, value in (one[part] or {}).items():
            torch.testing.assert_close(two[part][key], value, rtol=1e-4, atol=1e-6)
    assert bool(one["criterion"]) == (use == "kd_ss")
    if use.endswith("on-policy"):  # every process has its part
        (state,), states = (x["extra_state"]["criterion_training_state"] for x in (one, two))
        targets = [x["target"].tolist() for each in states for x in each["batches"]]
        assert targets == [x["target"].tolist() for x in state["batches"]] and len(targets) == 2
        assert targets[0] != targets[1]
    start = toy.build(*case.argv(data, *RUN))[1].state_dict()
    assert any((one["model"][key] - value).abs().max() > 1e-3 for key, value in start.items())


def test_two_processes_prune_as_one(tmp_path):
    run = Run("kd_ss", tmp_path)
    flags = ("--max-update", 9, *RUN[2:4], "--disable-validation", "--optimizer", "sgd", *PRUNE)
    argv = run.argv(*flags, "--lr", 0.05, "--kd-hidden-weight", 1)
    toy.train(*argv, *QUIET[2:], "--update-freq", 2, "--save-dir", tmp_path / "one")
    start_two(tmp_path / "two", *argv)
    # one process is killed: the other ends, and the same command continues
    flags = two_flags(tmp_path / "three", *argv, "--save-interval-updates", 4)
    ranks = launches.start(launches.of_torchrun, 2, tmp_path / "logs", *flags, killed=1)
    assert [rank.wait(timeout=300) for rank in reversed(ranks)][0] == -signal.SIGKILL
    assert ranks[0].returncode > 0
    assert last_update(tmp_path / "three") == 4
    start_two(tmp_path / "three", *argv, "--save-interval-updates", 4)
    assert last_update(tmp_path / "three") == 9
    folders = ("one", "two", "three")
    one, two, three = (toy.checkpoint(tmp_path / x / "checkpoint_last.pt") for x in folders)
    for key, value in one["model"].items():
        torch.testing.assert_close(two["model"][key], value, rtol=1e-4, atol=1e-6)
    assert_equal(two["model"], three["model"])
    assert_equal(pruning(two), pruning(three))
    state, other = pruning(one), pruning(two)
    assert state["is_finished"]
    for group, kept in state["kept"].items():
        assert torch.equal(other["kept"][group], kept) and 2 * kept.sum() == len(kept)
        torch.testing.assert_close(other["mean"][group], state["mean"][group], rtol=1e-4, atol=0)
