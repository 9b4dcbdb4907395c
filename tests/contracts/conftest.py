"""Fixtures of the contract tests."""

import pytest

from cases import Case
from setting import Setting


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    built = {}

    def get(case: Case) -> Setting:
        if case.name not in built:
            built[case.name] = Setting(case, tmp_path_factory.mktemp(case.name))
        return built[case.name]

    return get
