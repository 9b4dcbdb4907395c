"""Fixtures of the contract tests."""

import shutil

import pytest

from caching import build_cache
from cases import Case
from seq_kd_runs import SS
from setting import Setting


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    built = {}

    def get(case: Case) -> Setting:
        if case.name not in built:
            built[case.name] = Setting(case, tmp_path_factory.mktemp(case.name))
        return built[case.name]

    return get


@pytest.fixture
def cache(settings, tmp_path):
    """A fresh cache of a translation, that a test may damage."""
    assert build_cache(settings(SS), tmp_path / "cache") == 0
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def setting(settings):
    """A translation."""
    return settings(SS)


@pytest.fixture
def copied(setting, tmp_path):
    """A copy of its data that a test may change."""
    return shutil.copytree(setting.data, tmp_path / "data")
