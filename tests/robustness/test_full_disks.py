"""A disk that is full at any file of any command: one sentence, and what was there stays."""

import pytest

from command_runs import FULL, attempt
from crashes import crash_states, read_state, restore
from limited import attempt_on_full_disk
from written import COMMANDS

KIND = "full disks"
MOST = 4  # limits per command


def limits(states):
    """Sizes of files, each of which makes another file the first that does not fit."""
    sizes = {len(x) for state in states for x in state.values() if isinstance(x, bytes) and x}
    # seconds in a file have one digit fewer in another run
    needed = sorted({0, 100, *(max(1, size - 16) for size in sizes if size > 3)})
    step = max(1, -(-len(needed) // MOST))
    return [*needed[::step], *([needed[-1]] if (len(needed) - 1) % step else [])]


@pytest.mark.parametrize("name", COMMANDS)
def test_full_disks(name, inputs, tally, tmp_path):
    command, folder = COMMANDS[name], tmp_path / "work"
    folder.mkdir()
    out = command.prepare(folder)
    states = crash_states(lambda: attempt(command.words, inputs, out), folder)
    start, end = states[0], states[-1]
    assert start != end
    for limit in limits([end]):
        restore(folder, start)
        outcome = attempt_on_full_disk(command.words, inputs, out, limit)
        problem = outcome.refusal_problem(command.name, FULL)
        left = read_state(folder)
        changed = {x for x in left.keys() | start.keys() if left.get(x, 0) != start.get(x, 0)}
        whole = {x for x in changed if x.split("/")[0] in command.filled and left[x] == end[x]}
        if problem is None and changed - whole:
            problem = f"left or changed {sorted(changed - whole)}"
        tally.add("refused", problem and f"{name}, {limit} bytes: {problem}")
