"""Map tensors by tables: every operation is undone bit by bit, whatever the tensors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightpaff_fairseq.huggingface.families.bart import FSMT
from lightpaff_fairseq.huggingface.families.registry import FAMILIES
from lightpaff_fairseq.huggingface.mass_release import table as mass_table
from lightpaff_fairseq.huggingface.tables import (
    Parts,
    Positions,
    Rows,
    expand,
    row,
    to_fairseq_state,
    to_hf_state,
)

TABLES = [*FAMILIES.values(), FSMT]
CLASSES = [(family, name) for family in TABLES for name in family.classes]
SEEDS = st.integers(0, 2**32)
exhaustively = settings(max_examples=20, deadline=None)


def test_every_family_is_tested():
    assert len(FAMILIES) == 10 and len(TABLES) == 11
    assert [family.model_type for family in TABLES[:-1]] == list(FAMILIES)
    assert len(CLASSES) == 20  # five encoders: a classifier, a bare class, four a masked-LM head


def any_bits(shape, generator):
    """Return floats of random bits: infinities, NaN, negative zeros, denormal numbers."""
    bits = torch.randint(-(2**31), 2**31, shape, generator=generator, dtype=torch.int64)
    return bits.int().view(torch.float32)


def same_bits(a, b):
    return a.shape == b.shape and torch.equal(a.view(torch.int32), b.view(torch.int32))


def fairseq_tensors(one, sizes, generator):
    """Return random tensors of the right shapes for a row of a table."""
    vocabulary, width, positions = sizes
    operation, is_vector = one.operation, one.hf.endswith("bias")
    if isinstance(operation, Rows):
        shape = (vocabulary,) if is_vector else (vocabulary, width)
    elif isinstance(operation, Positions):
        shape = (positions + 2, width)
    else:
        shape = (width,) if is_vector else (width, width + 1)
    scaled = getattr(operation, "scale", 1) != 1  # exact where it does not overflow
    make = torch.randn if scaled else any_bits
    tensors = [make(shape, generator=generator) for _ in one.fairseq]
    if isinstance(operation, Positions) and operation.first != 2:
        tensors[0][:2] = 0  # in front of position 0
    return tensors


def random_state(rows, sizes, generator):
    state = {}
    for one in rows:
        if one.fairseq[0] not in state:
            tensors = fairseq_tensors(one, sizes, generator)
            state.update(zip(one.fairseq, tensors, strict=True))
    return state


def check_both_ways(rows, state):
    hf = to_hf_state(rows, state)
    assert len(hf) == len(rows) > 0
    tied = {}
    hf = {one.hf: tied.setdefault(one.fairseq, hf[one.hf]) for one in rows}
    back = to_fairseq_state(rows, hf)
    assert back.keys() == state.keys()
    assert [name for name in state if not same_bits(state[name], back[name])] == []
    again = to_hf_state(rows, back)
    assert [name for name in hf if not same_bits(hf[name], again[name])] == []


def random_sizes(data):
    """Draw (vocabulary, width, positions)."""
    return [data.draw(st.integers(low, 9)) for low in (5, 1, 1)]


@pytest.mark.slow
@exhaustively
@given(seed=SEEDS, layers=st.tuples(st.integers(1, 3), st.integers(1, 3)), data=st.data())
@pytest.mark.parametrize(("family", "name"), CLASSES, ids=[name for _, name in CLASSES])
def test_families_go_there_and_back(family, name, seed, layers, data):
    generator = torch.Generator().manual_seed(seed)
    sizes, eps = random_sizes(data), data.draw(st.sampled_from([1e-5, 1e-12]))
    config = {"encoder_layers": layers[0], "decoder_layers": layers[1], "n_layer": layers[1]}
    config |= {"n_layers": layers[0], "type_vocab_size": data.draw(st.sampled_from([1, 2]))}
    config |= {"num_hidden_layers": layers[0], "layer_norm_eps": eps, "pad_token_id": 1}
    config |= {"model_type": family.model_type}
    rows = family.table(config, torch.randperm(sizes[0], generator=generator), name)
    check_both_ways(rows, random_state(rows, sizes, generator))


@exhaustively
@given(seed=SEEDS, pad=st.integers(0, 4), data=st.data())
def test_mass_goes_there_and_back(seed, pad, data):
    generator, sizes = torch.Generator().manual_seed(seed), random_sizes(data)
    order = torch.randperm(sizes[0], generator=generator)
    rows = expand(mass_table(order, pad), {"encoder": 2, "decoder": 1})
    check_both_ways(rows, random_state(rows, sizes, generator))


def test_where_values_go():
    hf = torch.arange(24.0).reshape(6, 4)
    (moved,) = Rows(torch.tensor([5, 0, 3, 1, 2, 4]), scale=2.0).to_fairseq(hf)
    assert moved[0].tolist() == (hf[5] * 2).tolist() and moved[2].tolist() == (hf[3] * 2).tolist()
    (places,) = Positions(first=1).to_fairseq(hf)
    assert places.shape == (7, 4) and not places[:2].any()
    assert places[2].tolist() == hf[1].tolist() and places[6].tolist() == hf[5].tolist()
    left, right = Parts(2, transposed=True).to_fairseq(hf)
    assert left.tolist() == hf[:, :2].T.tolist() and right.tolist() == hf[:, 2:].T.tolist()
    top, bottom = Parts(2).to_fairseq(hf)
    assert top.tolist() == hf[:3].tolist() and bottom.tolist() == hf[3:].tolist()


def test_tensors_that_only_fairseq_ties_must_be_equal():
    rows, tensor = [row("a", "x"), row("a", "y"), row("b", "z")], torch.tensor([1.0, torch.nan])
    assert list(to_fairseq_state(rows, dict.fromkeys("xyz", tensor))) == ["a", "b"]
    with pytest.raises(ValueError, match=r"where fairseq has one, got others in y$"):
        to_fairseq_state(rows, {"x": torch.ones(2), "y": torch.zeros(2), "z": torch.zeros(2)})
