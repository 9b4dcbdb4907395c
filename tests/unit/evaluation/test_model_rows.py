"""Parameters are counted once, ratios are relative to the first row."""

import pytest
import torch

from lightpaff_fairseq.evaluation.model_rows import add_speeds, count_parameters
from toy import build, write_parallel


def test_tied_matrices_count_once_and_buffers_not_at_all():
    shared = torch.randn(7, 3)
    state = {
        "encoder.embed_tokens.weight": shared,
        "decoder.embed_tokens.weight": shared,  # the same memory
        "decoder.output_projection.weight": shared.clone(),  # a copy, as a file from a GPU has
        "encoder.version": torch.ones(1),
        "encoder.embed_positions._float_tensor": torch.ones(1),
        "a.bias": torch.zeros(5),
        "b.bias": torch.zeros(5),  # equal but not tied
        "c.weight": torch.randn(7, 3),
    }
    assert count_parameters(state) == 21 + 5 + 5 + 21


@pytest.mark.slow
def test_parameters_of_a_tied_transformer_are_those_of_the_module(tmp_path):
    folder = write_parallel(tmp_path / "data")
    small = ("--encoder-embed-dim", 8, "--encoder-ffn-embed-dim", 8, "--encoder-layers", 1)
    flags = ("--decoder-embed-dim", 8, "--decoder-ffn-embed-dim", 8, "--decoder-layers", 1)
    tied = ("--share-decoder-input-output-embed", "--encoder-attention-heads", 2)
    _, model, _ = build(
        folder, "--arch", "transformer", *small, *flags, *tied, "--decoder-attention-heads", 2
    )
    assert count_parameters(model.state_dict()) == sum(p.numel() for p in model.parameters())


def test_speeds_are_medians_and_ratios_relative_to_the_first_row():
    rows = [{"params": 90}, {"params": 30}]
    add_speeds(rows, "v", [[1.0, 5.0], [2.0, 4.0], [9.0, 6.0]])
    assert [(r["v"], r["times_smaller"], r["times_faster"]) for r in rows] == [
        (2, 1, 1),
        (5, 3, 2.5),
    ]
    assert [r["v_runs"] for r in rows] == [[1, 2, 9], [5, 4, 6]]
