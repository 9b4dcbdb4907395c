"""Shared set-up: few threads (the tests are small), and the plug-in registered once."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "support"))

if not torch.cuda.is_available():  # read when Triton is imported, whoever does it first
    os.environ.setdefault("TRITON_INTERPRET", "1")

import lightpaff_fairseq  # noqa: F401
import quick_compose
from forked import ForkingPopen
from tally import summary

quick_compose.install()

# the same examples in every run: a new failure is a change of the code
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def forked(monkeypatch):
    """Run this package's and fairseq's commands in forks of this process, see forked.py."""
    monkeypatch.setattr(subprocess, "Popen", ForkingPopen)


def pytest_collection_modifyitems(items):
    """Mark all tests that train or run recipes as slow: the fast subset is tests/unit."""
    fast = Path(__file__).parent / "unit"
    for item in items:
        if not item.path.is_relative_to(fast):
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    """Print what the campaign of tests/robustness tried and lost."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    for line in summary(reports):
        terminalreporter.write_line(line)
