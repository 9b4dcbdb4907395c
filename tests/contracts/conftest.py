"""Fixtures of the contract tests."""

import shutil
import tarfile
from pathlib import Path

import pytest

from caching import build_cache
from cases import Case
from seq_kd_runs import SS
from setting import Setting

ARCHIVE = Path(__file__).parents[1] / "data" / "version_0_1.tar.xz"


@pytest.fixture(scope="module")
def version_0_1(tmp_path_factory):
    """A folder with what tests/data/make_v0_1.py wrote."""
    folder = tmp_path_factory.mktemp("version_0_1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def root(version_0_1, monkeypatch):
    """The same, as the current folder: paths in its checkpoints are relative to it."""
    monkeypatch.chdir(version_0_1)
    return version_0_1


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
    """A fresh cache of a translation, that a test may corrupt."""
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
