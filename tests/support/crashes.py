"""Every state in which a kill can leave a folder, from a single run of an action.

A process that is killed cleans nothing up: what its n-th file operation would leave is what the
folder holds at that moment. So the folder is read before each operation instead of killing one
process per operation; `faults.survives` kills for real, and a test compares both.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

State = dict[str, bytes | str | None]  # path -> content; a link's target; None: a folder
OPERATIONS = {
    *("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"),
    *("shutil.copyfile", "shutil.move", "shutil.rmtree", "os.chmod", "os.utime"),
}
WRITES = os.O_WRONLY | os.O_RDWR
_observers: list[Callable[[], None]] = []


def crash_states(action: Callable[[], object], folder: Path) -> list[State]:
    """Run an action; return the different states of a folder, the first and the last included.

    Between two operations a file grows: the states in which it is empty or half there are added.
    """
    states = [read_state(folder)]

    def observe() -> None:
        states.extend(_grown(states[-1], read_state(folder)))

    _observers.append(observe)
    try:
        action()
    finally:
        _observers.clear()
    observe()
    return list({tuple(sorted(state.items())): state for state in states}.values())


def read_state(folder: Path) -> State:
    """Read all files, links and folders below a folder."""
    state: State = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            state[name] = os.readlink(path)
        else:
            state[name] = None if path.is_dir() else path.read_bytes()
    return state


def restore(folder: Path, state: State) -> None:
    """Give a folder a state, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in state.items():
        path = folder / name
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)


def _grown(before: State, after: State) -> Iterator[State]:
    """Yield the states on the way to the next one, which is the last."""
    if before == after:
        return
    known = list(before.values())  # a file that was renamed is whole
    for name, content in after.items():
        if isinstance(content, bytes) and content and content not in known:
            for size in sorted({0, len(content) // 2}):
                yield {**after, name: content[:size]}
    yield after


def _audit(event: str, args: tuple) -> None:
    if not _observers or not (event in OPERATIONS or _opens_for_writing(event, args)):
        return
    (observe,) = _observers
    _observers.clear()  # it reads files itself
    try:
        observe()
    finally:
        _observers.append(observe)


def _opens_for_writing(event: str, args: tuple) -> bool:
    return event == "open" and isinstance(args[2], int) and bool(args[2] & WRITES)


sys.addaudithook(_audit)  # for good: Python cannot remove one
