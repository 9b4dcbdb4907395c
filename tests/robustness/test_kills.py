"""A kill at any file operation of any command: nothing is lost, nothing is half there.

After each kill what was there before is whole, or what the command writes is, and the same command
run again succeeds with the same result.
"""

import json
import re

import pytest
import torch
from fairseq import checkpoint_utils

import toy
from command_runs import attempt
from crashes import crash_states, read_state, restore
from faults import survives
from inputs import POSITIONS
from lightpaff_fairseq.checkpoints.integrity import corruption
from written import COMMANDS, STUDENT

KIND = "kills"
# names that a process gives to what it has not finished, or has replaced, and to locks, which end
# with it
TEMPORARY = re.compile(r"\.(tmp|old|lock)(/|$)")


def entries(state):
    """{file or folder: its files}, of those that are no temporary ones."""
    result = {}
    for name, content in state.items():
        if not TEMPORARY.search(name):
            result.setdefault(name.split("/")[0], {})[name] = content
    return result


def replaced(state, name, old):
    """Whether the old output is there under another name, while the new one takes its place."""
    asides = {key.split("/")[0] for key in state if key.startswith(f"{name}.") and ".old" in key}
    return any(
        {key.replace(aside, name, 1): x for key, x in state.items() if key.startswith(aside)} == old
        for aside in asides
    )


def problem_of(state, start, end, filled):
    """What a kill has destroyed or left half; None: nothing."""
    now, before, after = (entries(x) for x in (state, start, end))
    for name in before.keys() | after.keys() | now.keys():
        if name in filled:
            torn = [x for x in now.get(name, {}) if now[name][x] != after[name].get(x)]
            if torn:
                return f"half-written: {torn}"
        elif name in before and name not in now:
            if not replaced(state, name, before[name]):
                return f"{name}: the old output is gone"
        elif now.get(name) not in (before.get(name), after.get(name)):
            return f"{name}: neither the old output nor the new one"
    return None


def shape(state, measures):
    """What two runs have in common: everything but measured numbers, and numbers of figures."""
    if measures:
        return {name: keys(json.loads(files[name])) for name, files in entries(state).items()}
    return {
        name: {k: x and re.sub(rb"figure-\d+", b"", x) for k, x in files.items()}
        for name, files in entries(state).items()
    }


def keys(value):
    if isinstance(value, dict):
        return {key: keys(item) for key, item in value.items()}
    return [keys(item) for item in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("name", COMMANDS)
def test_kills(name, inputs, tally, tmp_path):
    command, folder = COMMANDS[name], tmp_path / "work"
    folder.mkdir()
    out = command.prepare(folder)

    def run():
        outcome = attempt(command.words, inputs, out)
        return None if outcome.code == 0 else f"the same command fails: {outcome.error[-1500:]}"

    failed = []
    states = crash_states(lambda: failed.append(run()), folder)
    assert failed == [None] and len(states) > 3
    start, end = states[0], states[-1]

    def problem_again(state):
        restore(folder, state)
        same = shape(end, command.measures)
        problem = run()
        if problem is None and shape(read_state(folder), command.measures) != same:
            problem = "the same command gives another result"
        return problem

    tried = []
    for state in states:
        tally.add("killed", described(name, state, problem_of(state, start, end, command.filled)))
        names = {x for x in state if x.count("/") <= (x.split("/")[0] in command.filled)}
        left = names, entries(state)
        if left not in tried:  # the content of temporary files and folders is never read
            tried.append(left)
            tally.add("tried again", described(name, state, problem_again(state)))


def described(name, state, problem):
    """The problem, and where it arises."""
    return problem and f"{name}, killed with {sorted(state)}: {problem}"


@pytest.mark.parametrize("name", ["strip", "merge-caches"])
def test_real_kills_leave_the_states_that_are_computed(name, inputs, tally, tmp_path):
    command, folder = COMMANDS[name], tmp_path / "work"
    folder.mkdir()
    out = command.prepare(folder)

    def run():
        assert attempt(command.words, inputs, out).code == 0

    computed = crash_states(run, folder)
    known, ended, kills = [of_any_process(state) for state in computed], False, 0
    while not ended:
        restore(folder, computed[0])
        ended = survives(run, kills)
        is_known = of_any_process(read_state(folder)) in known
        tally.add("killed", None if is_known else f"{name}: kill {kills} leaves an unknown state")
        kills += 1
    assert kills > 3


def of_any_process(state):
    """The state, with temporary names that do not tell the process."""
    return {re.sub(r"-\d+\.(tmp|old)", r".\1", name): content for name, content in state.items()}


TRAINING = ("--task", "translation", *POSITIONS.split(), *STUDENT.split(), "--max-tokens", 200)
TRAINING += ("--lr", 0.01, "--update-epoch-batch-itr", True, "--max-epoch")


@pytest.mark.parametrize("flags", [(), ("--keep-last-epochs", 1)], ids=["all", "last"])
def test_trainings(flags, tally, tmp_path):
    """fairseq saves whole checkpoints only, and goes on from them as if it had not been killed."""
    data, folder = toy.write_parallel(tmp_path / "data", count=9), tmp_path / "run"

    def train(epochs):
        vars(checkpoint_utils.save_checkpoint).pop("best", None)
        toy.train(data, *TRAINING, epochs, *flags, "--save-dir", folder)
        return toy.checkpoint(folder / "checkpoint_last.pt")["model"]

    folder.mkdir()
    train(1)
    finished = []
    states = crash_states(lambda: finished.append(train(2)), folder)
    for state in states:
        restore(folder, state)
        problems = [f"{x.name}: {corruption(x)}" for x in folder.glob("*.pt") if corruption(x)]
        if "checkpoint_last.pt" not in state:
            problems.append("checkpoint_last.pt is gone")
        if not problems and not same_tensors(train(2), finished[0]):
            problems.append("another model after the same command")
        problem = f"killed with {sorted(state)}: {'; '.join(problems)}" if problems else None
        tally.add("tried again", problem)
    assert len(states) > 8


def same_tensors(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
