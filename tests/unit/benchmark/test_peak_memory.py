"""Peak memory counts what a computation allocates, in a fresh process."""

import pytest
import torch

from lightpaff_fairseq.benchmark.peak_memory import peak_extra_bytes

BLOCK = 64 * 2**20


def blocks(count, name, small):
    """A `peak_memory.Factory`: allocates `count` blocks after `count` others were freed."""
    size = 1 if small else BLOCK

    def run():
        for _ in range(2):
            tensors = [torch.ones(size, dtype=torch.uint8) for _ in range(count)]
        return len(tensors)

    return run


@pytest.mark.slow
def test_peak_memory():
    peak = peak_extra_bytes(blocks, 3, "any", "cpu")
    if peak is None:
        pytest.skip("this system does not tell peak memory")
    # The second list grows while the first is still there: 2 x 3 blocks at the peak.
    assert peak == pytest.approx(6 * BLOCK, rel=0.05)
