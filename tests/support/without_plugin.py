"""Plain fairseq in a process that has imported the plug-in: what it replaced is put back."""

from contextlib import contextmanager

import pytest

from lightpaff_fairseq.compat.patching import ACTIVE, Patch, importers_of
from lightpaff_fairseq.compat.repairs import REPAIRS
from lightpaff_fairseq.trainer_hooks import HOOKS


@contextmanager
def without_plugin():
    """Undo every replaced function; yield how many they were."""
    patches = [x for x in (*REPAIRS, *HOOKS) if isinstance(x, Patch) and x.state == ACTIVE]
    with pytest.MonkeyPatch.context() as monkeypatch:
        for patch in reversed(patches):  # some replace the same function
            replacement = getattr(patch.owner, patch.attribute)
            assert replacement.__wrapped__ == patch.original, patch.name
            monkeypatch.setattr(patch.owner, patch.attribute, patch.original)
            for module, name in importers_of(replacement, patch.target.partition(".")[0]):
                monkeypatch.setattr(module, name, patch.original)
        yield len(patches)
