"""Build teacher caches, and train from them, in tests."""

import pytest

import toy
from lightpaff_fairseq.cli.main import main


def build_cache(setting, folder, *flags):
    """Run `lightpaff cache-teacher` with the flags of a training; return its exit code."""
    argv = setting.case.argv(setting.data, "--criterion", setting.case.name, "--num-workers", 0)
    own = ("--path", setting.path, "--out", folder, "--block-tokens", 60, "--cpu")
    return main([str(x) for x in ("cache-teacher", *argv, *own, *flags)])


def cached(setting, folder, *flags, **values):
    """Build a criterion that uses a cache: as `Setting.criterion`, without a teacher."""
    argv = setting.case.argv(setting.data, "--criterion", setting.case.name, "--kd-cache", folder)
    return setting.build(*argv, *flags, **values)


def sample_of(setting, epoch, indices=range(12)):
    dataset = setting.task.dataset("train")
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)
    return toy.batch(setting.task, indices)


def run(setting, criterion, epoch=1, indices=range(12)):
    criterion.before_training(setting.student, lambda: 0)
    criterion.begin_epoch(epoch, "train")
    return setting.run(criterion, sample_of(setting, epoch, indices))


def use_error(setting, folder, *flags):
    """Return the message with which a training refuses a cache."""
    with pytest.raises(ValueError) as caught:
        run(setting, cached(setting, folder, *flags))
    return str(caught.value)
