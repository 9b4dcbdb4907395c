"""Replace functions of fairseq, knowing what was replaced, why, and whether it was necessary."""

import functools
import sys
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
        owner: module or class that holds the function; attribute: its name there.
        original: the function that was replaced; None before `apply`.
    """

    owner: Any = None
    attribute: str = ""
    original: Callable[..., Any] | None = field(default=None, init=False)

    def _install(self) -> None:
        original = getattr(self.owner, self.attribute)

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return self.install(original, *args, **kwargs)

        self.original = original
        setattr(self.owner, self.attribute, replacement)
        for module, name in importers_of(original, self.target.partition(".")[0]):
            setattr(module, name, replacement)


def importers_of(function: Callable[..., Any], package: str) -> list[tuple[Any, str]]:
    """List the loaded modules of a package that hold a function, and its name there.

    Modules that are loaded later import what the owner then holds.
    """
    modules = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == package]
    return [
        (module, name)
        for module in modules
        for name, value in list(vars(module).items())
        if value is function
    ]


def patch(
    owner: Any,
    name: str,
    *,
    issues: tuple[int, ...] = (),
    needed: Callable[[], bool] = _always,
) -> Callable[[Callable[..., Any]], Patch]:
    """Declare the replacement of a function; nothing changes before `apply` is called.

    Modules of the same package that imported the function by name get the replacement, too.

        @patch(data_utils, "batch_by_size", issues=(5036,))
        def keep_last_batch(original, indices, *args, **kwargs):
            return original(indices, *args, **kwargs)

    Args:
        owner: module or class; name: its function or method.
        issues, needed: see `Change`.
    """
    target = f"{getattr(owner, '__qualname__', owner.__name__)}.{name}"
    if isinstance(owner, type):
        target = f"{owner.__module__}.{target}"
    return lambda function: Patch(function, target, issues, needed, owner, name)


def change(
    target: str, *, issues: tuple[int, ...] = (), needed: Callable[[], bool] = _always
) -> Callable[[Callable[[], None]], Change]:
    """Declare a change to something else than a function, for `patch` see there."""
    return lambda function: Change(function, target, issues, needed)
