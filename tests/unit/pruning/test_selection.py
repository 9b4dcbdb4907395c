"""Sums and selection of units against naive references, and properties of every selection."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightpaff_fairseq.pruning.prune_schedule import Schedule
from lightpaff_fairseq.pruning.selection import remaining_units, select_units, unit_sums
from lightpaff_fairseq.pruning.sizes import Layout, Sizes
from unit_groups import AXES, everything, naive_sums, tensors


@pytest.mark.parametrize("full", [1, 12, 64])
def test_units_fall_from_all_to_the_target_and_never_below_the_ratio(full):
    final = max(1, full // 3)
    schedule = Schedule(10, 60, 1)
    counts = [remaining_units(full, final, schedule.remaining(t)) for t in range(80)]
    assert counts == sorted(counts, reverse=True)
    assert counts[:11] == [full] * 11 and counts[60:] == [final] * 20
    for t, count in enumerate(counts):
        exact = final + (full - final) * schedule.remaining(t)
        assert exact - 1e-6 <= count < exact + 1


def test_sums_of_units_count_kept_partners_only():
    values = {n: x.abs() for n, x in tensors(1).items()}
    kept = everything()
    kept["hidden"][2] = kept["ffn"][0] = False
    for mask in (everything(), kept):
        found, wanted = unit_sums(values, AXES, mask), naive_sums(values, mask)
        assert found.keys() == wanted.keys()
        for group, value in wanted.items():
            torch.testing.assert_close(found[group].double(), value, rtol=1e-5, atol=1e-6)


def layout(teacher, student):
    teacher, student = Sizes(1, *teacher), Sizes(1, *student)
    return Layout({"encoder": teacher}, {"encoder": student}, {}, False, {})


def random_scores(width=16, ffn=24):
    generator = torch.Generator().manual_seed(3)
    names = {"encoder.hidden": width, "encoder.0.ffn": ffn}
    names |= {"encoder.0.self_attn.qk": width, "encoder.0.self_attn.vo": width}
    return {name: torch.rand(size, generator=generator) for name, size in names.items()}


def test_every_head_keeps_as_many_dimensions_its_best_ones():
    scores = random_scores()
    kept = select_units(scores, layout((16, 4, 24), (8, 4, 12)), 0.0)
    assert {g: int(k.sum()) for g, k in kept.items()} == {
        "encoder.hidden": 8,
        "encoder.0.ffn": 12,
        "encoder.0.self_attn.qk": 8,
        "encoder.0.self_attn.vo": 8,
    }
    for group, mask in kept.items():
        parts = [(scores[group], mask)]
        if "attn" in group:
            parts = list(zip(scores[group].view(4, 4), mask.view(4, 4)))
            assert all(int(m.sum()) == 2 for _, m in parts)
        for score, chosen in parts:
            assert score[chosen].min() > score[~chosen].max()


def test_whole_heads_go_together_in_both_products():
    scores = random_scores()
    kept = select_units(scores, layout((16, 4, 24), (8, 2, 12)), relative=True)
    pair = [kept[f"encoder.0.self_attn.{kind}"].view(4, 4) for kind in ("qk", "vo")]
    assert torch.equal(*pair) and pair[0].all(1).sum() == 2 and pair[0].any(1).sum() == 2
    parts = [scores[f"encoder.0.self_attn.{kind}"] for kind in ("qk", "vo")]
    total = sum(p / p.sum() for p in parts).view(4, 4).sum(1)
    assert set(total.topk(2).indices.tolist()) == set(pair[0].all(1).nonzero().flatten().tolist())


def test_of_equal_scores_the_first_are_kept():
    scores = {name: torch.zeros_like(x) for name, x in random_scores().items()}
    kept = select_units(scores, layout((16, 4, 24), (8, 4, 12)), 0.0)
    assert kept["encoder.hidden"].tolist() == [True] * 8 + [False] * 8


@st.composite
def choices(draw):
    """Scores with many equal ones, and the sizes of a teacher and a student inside it."""
    heads, dims, ffn = (draw(st.integers(1, 4)) for _ in range(3))
    student = [draw(st.integers(1, full)) for full in (heads, dims, ffn)]
    sizes = layout((heads * dims, heads, ffn), (student[0] * student[1], student[0], student[2]))
    groups = random_scores(heads * dims, ffn).items()
    few = {name: torch.tensor(draw(_numbers(len(score)))) for name, score in groups}
    return few, sizes


def _numbers(count):
    return st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=count, max_size=count)


@settings(max_examples=100, deadline=None)
@given(choices(), st.booleans())
def test_in_the_end_exactly_the_students_units_are_kept(choice, relative):
    scores, sizes = choice
    student = sizes.student["encoder"]
    counts = {"hidden": student.width, "ffn": student.ffn, "qk": student.width, "vo": student.width}
    for group, mask in select_units(scores, sizes, relative=relative).items():
        assert int(mask.sum()) == counts[group.split(".")[-1]]
        if "attn" in group:
            per_head = mask.view(sizes.teacher["encoder"].heads, -1).sum(1)
            assert set(per_head.tolist()) <= {0, student.head_dim}
        elif not mask.all():
            assert scores[group][mask].min() >= scores[group][~mask].max()


@settings(max_examples=100, deadline=None)
@given(choices(), st.floats(0, 1), st.floats(0, 1))
def test_what_is_kept_later_was_kept_before(choice, a, b):
    scores, sizes = choice
    before, after = (select_units(scores, sizes, x, relative=True) for x in (max(a, b), min(a, b)))
    assert all((before[group] | ~mask).all() for group, mask in after.items())
    assert all(mask.all() for mask in select_units(scores, sizes, 1.0).values())
