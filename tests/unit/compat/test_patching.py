"""A patch knows what it replaced, and is applied once, where it is needed."""

import importlib
import inspect
import pkgutil
import sys
import types
import warnings

import pytest

from lightpaff_fairseq import compat, trainer_hooks
from lightpaff_fairseq.compat.patching import (
    ACTIVE,
    NOT_APPLIED,
    NOT_NEEDED,
    Change,
    Patch,
    change,
    importers_of,
    patch,
)

CHANGES = [*compat.REPAIRS, *trainer_hooks.HOOKS]
PATCHES = [c for c in CHANGES if isinstance(c, Patch)]


@pytest.fixture
def library(monkeypatch):
    """A module with a function, and another of its package that imported it by name."""

    def double(x):
        """Return 2 x."""
        return 2 * x

    module, importer = types.ModuleType("library"), types.ModuleType("library.importer")
    module.double = importer.twice = double
    for each in (module, importer):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    return module, importer


def declare(module, needed=True):
    @patch(module, "double", issues=(7,), needed=lambda: needed)
    def add_one(original, x):
        """Add one."""
        return original(x) + 1

    return add_one


def test_a_patch_replaces_a_function_once(library):
    module, importer = library
    original, added = module.double, declare(module)
    assert module.double is original and added.state == NOT_APPLIED
    added.apply()
    replacement = module.double
    assert importer.twice is replacement and replacement(3) == 7
    assert replacement.__wrapped__ is original is added.original
    assert (replacement.__name__, replacement.__doc__) == ("double", "Return 2 x.")
    assert (added.name, added.target, added.issues) == ("add_one", "library.double", (7,))
    added.apply()
    assert module.double is replacement and added.state == ACTIVE


def test_a_patch_that_is_not_needed_changes_nothing(library):
    module, importer = library
    original, added = module.double, declare(module, needed=False)
    added.apply()
    assert module.double is importer.twice is original
    assert added.state == NOT_NEEDED and added.original is None


def test_methods_are_patched_too():
    class Counter:
        def step(self, by):
            return by

    @patch(Counter, "step")
    def step_twice(original, self, by):
        return original(self, by) + original(self, by)

    step_twice.apply()
    assert Counter().step(2) == 4 and step_twice.target.endswith("Counter.step")


def test_a_change_is_made_once():
    calls = []

    @change("list.calls")
    def append():
        calls.append(1)

    append.apply()
    append.apply()
    assert calls == [1] and append.state == ACTIVE


def current(patched):
    return getattr(patched.owner, patched.attribute)


def test_importing_the_package_applied_every_change_and_a_second_time_changes_nothing():
    def snapshot():
        # pytest resets the filters before every test
        return [current(p) for p in PATCHES], [c.state for c in CHANGES], len(warnings.filters)

    before = snapshot()
    assert NOT_APPLIED not in before[1]
    compat.apply()
    trainer_hooks.install()
    assert snapshot() == before


@pytest.mark.parametrize("patched", PATCHES, ids=lambda p: p.name)
def test_what_is_active_wraps_what_fairseq_has(patched):
    function = current(patched)
    if patched.state == ACTIVE:
        wrapped = [function]
        while hasattr(wrapped[-1], "__wrapped__"):  # two patches may replace one function
            wrapped.append(wrapped[-1].__wrapped__)
        assert any(each is patched.original for each in wrapped[1:])
        assert function.__module__.startswith("fairseq")
        assert not importers_of(patched.original, "fairseq"), "it is called past the patch"
    else:
        assert not hasattr(function, "__wrapped__")


@pytest.mark.parametrize("patched", PATCHES, ids=lambda p: p.name)
def test_a_patch_takes_every_argument_of_what_it_replaces(patched):
    """By position and by name, so that no call in fairseq fails for having a patch."""
    original = patched.original or current(patched)
    parameters = inspect.signature(original).parameters.values()
    places = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    own = inspect.signature(patched.install)
    own.bind(original, *places)
    first = places[:1] if isinstance(patched.owner, type) and places[0] == "self" else []
    own.bind(original, *first, **{name: name for name in places[len(first) :]})
    required = [p.name for p in parameters if p.default is p.empty and p.name in places]
    own.bind(original, *required)


def test_every_change_is_listed():
    modules = [compat, *map(importlib.import_module, names_of_modules())]
    declared = {id(x) for module in modules for x in vars(module).values() if isinstance(x, Change)}
    assert declared == {id(repair) for repair in compat.REPAIRS} and len(declared) >= 13
    assert len(trainer_hooks.HOOKS) == 11
    assert all(c.install.__doc__ and c.target for c in CHANGES)


def names_of_modules():
    return [f"{compat.__name__}.{m.name}" for m in pkgutil.iter_modules(compat.__path__)]
