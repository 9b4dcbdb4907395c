"""Replace functions of fairseq, knowing what was replaced, why, and whether it was necessary."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ACTIVE, NOT_NEEDED, NOT_APPLIED = "active", "not needed", "not applied"


def _always() -> bool:
    return True


@dataclass
class Change:
    """One change to a library, applied at most once.

    Attributes:
        install: makes the change; its docstring is the reason.
        target: full name of what is changed.
        issues: numbers of fairseq's issues and pull requests about the fault.
        is_needed: tells, before the change, whether the installed versions have the fault.
        state: `ACTIVE`, `NOT_NEEDED` or `NOT_APPLIED`.
    """

    install: Callable[..., Any]
    target: str
    issues: tuple[int, ...] = ()
    is_needed: Callable[[], bool] = _always
    state: str = field(default=NOT_APPLIED, init=False)

    @property
    def name(self) -> str:
        """Name of the function that makes the change."""
        return self.install.__name__

    def apply(self) -> None:
        """Make the change where it is needed; a second call changes nothing."""
        if self.state == NOT_APPLIED:
            self.state = ACTIVE if self.is_needed() else NOT_NEEDED
            if self.state == ACTIVE:
                self._install()

    def _install(self) -> None:
        self.install()


@dataclass
class Patch(Change):
    """A function or method and its replacement; `install` is called as `install(original, ...)`.

    Attributes:
        owners: modules or classes that hold the same function; attribute: its name there.
        original: the function that was replaced; None before `apply`.
    """

    owners: tuple[Any, ...] = ()
    attribute: str = ""
    original: Callable[..., Any] | None = field(default=None, init=False)

    def _install(self) -> None:
        original = getattr(self.owners[0], self.attribute)

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return self.install(original, *args, **kwargs)

        self.original = original
        for owner in self.owners:
            setattr(owner, self.attribute, replacement)


def patch(
    owner: Any,
    name: str,
    *,
    issues: tuple[int, ...] = (),
    needed: Callable[[], bool] = _always,
    aliases: tuple[Any, ...] = (),
) -> Callable[[Callable[..., Any]], Patch]:
    """Declare the replacement of a function; nothing changes before `apply` is called.

        @patch(data_utils, "batch_by_size", issues=(5036,))
        def keep_last_batch(original, indices, *args, **kwargs):
            return original(indices, *args, **kwargs)

    Args:
        owner: module or class; name: its function or method.
        issues, needed: see `Change`.
        aliases: other modules that imported the function by name.
    """
    target = f"{getattr(owner, '__qualname__', owner.__name__)}.{name}"
    if isinstance(owner, type):
        target = f"{owner.__module__}.{target}"
    return lambda function: Patch(function, target, issues, needed, (owner, *aliases), name)


def change(
    target: str, *, issues: tuple[int, ...] = (), needed: Callable[[], bool] = _always
) -> Callable[[Callable[[], None]], Change]:
    """Declare a change to something else than a function, for `patch` see there."""
    return lambda function: Change(function, target, issues, needed)
