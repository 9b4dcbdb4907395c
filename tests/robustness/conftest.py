"""Fixtures of the campaign: inputs of all commands, and the count of tries."""

import pytest

from inputs import Inputs
from tally import Tally


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def tally(request):
    """Counts the tries of a test, and fails it if there is none or one is lost."""
    tally = Tally(request.module.KIND)
    yield tally
    request.node.user_properties.extend(tally.properties().items())
    assert tally.outcomes, "nothing was tried"
    assert not tally.lost, "\n".join(tally.lost[:10])
