"""Schedule, scores, selection and LayerNorm of pruning against naive references."""

import pytest
import torch

from lightpaff_fairseq.pruning.importance import Importance
from lightpaff_fairseq.pruning.prune_schedule import Schedule, update_number
from lightpaff_fairseq.pruning.selection import remaining_units, select_units, unit_sums
from lightpaff_fairseq.pruning.sizes import Layout, Sizes


@pytest.mark.parametrize(("start", "end", "final"), [(0, 7, 0.25), (5, 25, 0.5), (9, 9, 0.1)])
def test_the_schedule_is_the_papers_formula(start, end, final):
    schedule = Schedule(start, end, 3)
    for t in range(40):
        if t >= end:
            wanted = final
        elif t < start:
            wanted = 1.0
        else:
            wanted = final + (1 - final) * (1 - (t - start) / (end - start)) ** 3
        assert final + (1 - final) * schedule.remaining(t) == pytest.approx(wanted, abs=1e-12), t
    due = [t for t in range(1, 40) if schedule.is_due(t)]
    assert due == sorted({*range(3, end, 3), end})


def test_update_numbers_are_fractions_up_to_one():
    found = [update_number(x, 1000) for x in (0, 0.7, 1, 2, 500)]
    assert found == [0, 700, 1000, 2, 500]


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


AXES = {
    "w1": ("ffn", "hidden"),
    "b1": ("ffn",),
    "w2": ("hidden", "ffn"),
    "table": ("", "hidden"),
}
SHAPES = {"w1": (6, 4), "b1": (6,), "w2": (4, 6), "table": (9, 4)}


def tensors(seed):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in SHAPES.items()}


def everything():
    return {
        "hidden": torch.ones(4, dtype=torch.bool),
        "ffn": torch.ones(6, dtype=torch.bool),
    }


def naive_sums(values, kept):
    found = {"hidden": [0.0] * 4, "ffn": [0.0] * 6}
    for i in range(6):
        found["ffn"][i] += values["b1"][i].item()
        for j in range(4):
            for weight, row in ((values["w1"][i, j], i), (values["w2"][j, i], i)):
                found["ffn"][row] += weight.item() * kept["hidden"][j].item()
                found["hidden"][j] += weight.item() * kept["ffn"][i].item()
    for j in range(4):
        found["hidden"][j] += values["table"][:, j].sum().item()
    return {g: torch.tensor(v, dtype=torch.float64) for g, v in found.items()}


def test_sums_of_units_count_kept_partners_only():
    values = {n: x.abs() for n, x in tensors(1).items()}
    kept = everything()
    kept["hidden"][2] = kept["ffn"][0] = False
    for mask in (everything(), kept):
        found, wanted = unit_sums(values, AXES, mask), naive_sums(values, mask)
        assert found.keys() == wanted.keys()
        for group, value in wanted.items():
            torch.testing.assert_close(found[group].double(), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["sensitivity", "platon"])
def test_scores_equal_a_naive_reference_whatever_scales_the_gradients(kind):
    """I, its mean, U and its mean as in the paper, each observation in units of its own mean."""
    factors = (1.0, 1e-3, 7.0, 65536.0)
    importance = Importance(kind, 0.85, 0.95)
    mean = {g: torch.zeros(len(k), dtype=torch.float64) for g, k in everything().items()}
    spread = {g: torch.zeros_like(x) for g, x in mean.items()}
    for step, factor in enumerate(factors):
        weights, grads = tensors(10 + step), tensors(50 + step)
        products = {n: (w * grads[n]).abs() for n, w in weights.items()}
        scaled = {n: x * factor for n, x in products.items()}
        importance.observe(unit_sums(scaled, AXES, everything()), everything())
        for group, values in naive_sums(products, everything()).items():
            sensed = values / values.mean()
            mean[group] = 0.85 * mean[group] + 0.15 * sensed
            spread[group] = 0.95 * spread[group] + 0.05 * (sensed - mean[group]).abs()
    for group, found in importance.scores({}).items():
        wanted = mean[group] * (spread[group] if kind == "platon" else 1)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["sensitivity", "platon"])
def test_a_group_without_any_gradient_has_no_scores_but_zero(kind):
    importance = Importance(kind)
    for values in ({"ffn": torch.arange(6.0)}, {"ffn": torch.zeros(6), "hidden": torch.zeros(4)}):
        importance.observe(values, everything())
        importance.change_kept(everything(), everything())
    scores = importance.scores({})
    assert torch.equal(scores["hidden"], torch.zeros(4))
    assert scores["ffn"].isfinite().all() and scores["ffn"].argmax() == 5
    assert importance.level["hidden"] == 4


def test_pruned_units_keep_their_score_and_the_others_stay_comparable_with_it():
    """Gradients that shrink a hundredfold must not bring every pruned unit back."""
    importance, kept = Importance("sensitivity"), everything()
    steady = torch.tensor([1.0, 2.0, 3.0, 4.0])
    for _ in range(40):
        importance.observe({"hidden": steady}, kept)
    before = importance.mean["hidden"].clone()
    fewer = {**kept, "hidden": torch.tensor([False, True, True, True])}
    importance.change_kept(kept, fewer)
    for _ in range(40):
        importance.observe({"hidden": steady * fewer["hidden"] / 100}, fewer)
    torch.testing.assert_close(importance.mean["hidden"], before, rtol=1e-2, atol=0)
    assert importance.mean["hidden"][0] == before[0]
    importance.change_kept(fewer, kept)
    assert importance.level["hidden"] == pytest.approx(4.0, rel=1e-3)


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
