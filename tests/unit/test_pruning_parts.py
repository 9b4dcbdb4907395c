"""Schedule, scores, selection and LayerNorm of pruning against naive references."""

import pytest
import torch
from torch import nn

from lightpaff_fairseq.convert.layout import Layout, Sizes
from lightpaff_fairseq.pruning.groups import Groups
from lightpaff_fairseq.pruning.importance import Importance, unit_sums
from lightpaff_fairseq.pruning.layer_norm import KEPT, make_maskable
from lightpaff_fairseq.pruning.masks import Masks
from lightpaff_fairseq.pruning.schedule import Schedule, update_number
from lightpaff_fairseq.pruning.selection import select_units, units_left
from lightpaff_fairseq.pruning.weights import Weight, optimized_weights, sensitivity


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
        assert schedule.keep_ratio(t, final) == pytest.approx(wanted, abs=1e-12), t
    due = [t for t in range(1, 40) if schedule.is_due(t)]
    assert due == sorted({*range(3, end, 3), end})


def test_update_numbers_are_fractions_up_to_one():
    found = [update_number(x, 1000) for x in (0, 0.7, 1, 2, 500)]
    assert found == [0, 700, 1000, 2, 500]


@pytest.mark.parametrize("full", [1, 12, 64])
def test_units_fall_from_all_to_the_target_and_never_below_the_ratio(full):
    final = max(1, full // 3)
    schedule = Schedule(10, 60, 1)
    counts = [units_left(full, final, schedule.remaining(t)) for t in range(80)]
    assert counts == sorted(counts, reverse=True)
    assert counts[:11] == [full] * 11 and counts[60:] == [final] * 20
    for t, count in enumerate(counts):
        exact = full * schedule.keep_ratio(t, final / full)
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


def test_pruned_units_keep_their_score_and_the_others_stay_comparable_with_it():
    """Gradients that shrink a hundredfold must not bring every pruned unit back."""
    importance, kept = Importance("sensitivity"), everything()
    steady = torch.tensor([1.0, 2.0, 3.0, 4.0])
    for _ in range(40):
        importance.observe({"hidden": steady}, kept)
    before = importance.mean["hidden"].clone()
    fewer = {**kept, "hidden": torch.tensor([False, True, True, True])}
    importance.keep(kept, fewer)
    for _ in range(40):
        importance.observe({"hidden": steady * fewer["hidden"] / 100}, fewer)
    torch.testing.assert_close(importance.mean["hidden"], before, rtol=1e-2, atol=0)
    assert importance.mean["hidden"][0] == before[0]
    importance.keep(fewer, kept)
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
    kept = select_units(scores, layout((16, 4, 24), (8, 2, 12)), 0.0)
    pair = [kept[f"encoder.0.self_attn.{kind}"].view(4, 4) for kind in ("qk", "vo")]
    assert torch.equal(*pair) and pair[0].all(1).sum() == 2 and pair[0].any(1).sum() == 2
    parts = [scores[f"encoder.0.self_attn.{kind}"] for kind in ("qk", "vo")]
    total = sum(p / p.sum() for p in parts).view(4, 4).sum(1)
    assert set(total.topk(2).indices.tolist()) == set(pair[0].all(1).nonzero().flatten().tolist())


def test_of_equal_scores_the_first_are_kept():
    scores = {name: torch.zeros_like(x) for name, x in random_scores().items()}
    kept = select_units(scores, layout((16, 4, 24), (8, 4, 12)), 0.0)
    assert kept["encoder.hidden"].tolist() == [True] * 8 + [False] * 8


@pytest.mark.parametrize("kept", [range(0, 10, 3), range(10), (4,), range(2, 10)])
def test_layer_norm_over_the_kept_dimensions(kept):
    torch.manual_seed(1)
    norm = nn.LayerNorm(10).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    stock = nn.LayerNorm(10).double()
    stock.load_state_dict(norm.state_dict())
    x = (torch.randn(3, 5, 10, dtype=torch.float64) * 4 + 7).requires_grad_()
    mask = torch.zeros(10, dtype=torch.bool)
    mask[list(kept)] = True
    make_maskable(norm).keep(mask)
    chosen = mask.nonzero().flatten()
    y = x[..., chosen]
    wanted = (y - y.mean(-1, keepdim=True)) / (
        y.var(-1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    wanted = wanted * norm.weight[chosen] + norm.bias[chosen]
    found = norm(x)
    torch.testing.assert_close(found[..., chosen], wanted, rtol=1e-7, atol=1e-7)
    assert found[..., ~mask].abs().sum() == 0
    weights = torch.randn_like(wanted)
    got = torch.autograd.grad((found[..., chosen] * weights).sum(), [x, norm.weight])
    want = torch.autograd.grad((wanted * weights).sum(), [x, norm.weight])
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    if mask.all():
        assert torch.equal(found, stock(x))


def test_a_mask_is_in_the_state_only_where_something_is_pruned():
    norm, stock = make_maskable(nn.LayerNorm(4)), nn.LayerNorm(4)
    assert norm.state_dict().keys() == stock.state_dict().keys()
    norm.load_state_dict(stock.state_dict())  # a stock model's
    norm.keep(torch.tensor([True, False, True, True]))
    state = norm.state_dict()
    with pytest.raises(RuntimeError, match=f"Unexpected key.*{KEPT}"):
        stock.load_state_dict(state)
    other = make_maskable(nn.LayerNorm(4))
    other.load_state_dict(state)
    assert torch.equal(other.kept, norm.kept) and other.is_pruned
    other.load_state_dict(stock.state_dict())
    assert not other.is_pruned


class Flat:
    """What `--fp16` keeps on a GPU: one flat float32 master of all parameters of a device."""

    def __init__(self, parameters):
        self.fp16_params = parameters
        flat = nn.Parameter(torch.cat([p.detach().flatten().float() for p in parameters]))
        flat.grad = torch.cat([p.grad.flatten().float() for p in parameters])
        self.fp32_params = {None: flat}  # the index of the CPU


def test_flat_float32_masters_are_found_masked_and_copied_to_the_model():
    model = {n: nn.Parameter(x.half()) for n, x in tensors(4).items()}
    for name, grad in tensors(5).items():
        model[name].grad = grad.half()
    optimizer = Flat(list(model.values()))
    weights = optimized_weights(optimizer, model)
    for name, p in model.items():
        assert torch.equal(weights[name].value, p.detach().float())
        assert torch.equal(weights[name].grad, p.grad.float())
    products = sensitivity(weights)
    assert torch.equal(products["w1"], (model["w1"].float() * model["w1"].grad.float()).abs())
    masks = Masks(Groups(AXES, {"hidden": 4, "ffn": 6}, {}), {}, everything())
    fewer = everything()
    fewer["ffn"][2] = False
    with torch.no_grad():
        optimizer.fp32_params[None].add_(0.25)  # a step, not yet in the model
        masks.change(fewer, weights)
    assert model["w1"][2].abs().sum() == 0 and model["w2"][:, 2].abs().sum() == 0
    assert torch.equal(model["w1"].float(), weights["w1"].value.half().float())
    start = optimizer.fp32_params[None].detach()[:24].view(6, 4)  # w1 comes first
    assert start[2].abs().sum() == 0 and start[3].abs().min() > 0
    optimizer.fp32_params[None].grad[0] = float("inf")
    assert sensitivity(optimized_weights(optimizer, model)) is None


def test_units_return_with_the_weights_that_they_had_until_they_are_released():
    values = {n: x.float() for n, x in tensors(4).items()}
    before = {n: x.clone() for n, x in values.items()}
    weights = {n: Weight(x, None) for n, x in values.items()}
    groups = Groups(AXES, {"hidden": 4, "ffn": 6}, {})
    masks = Masks(groups, {}, everything())
    fewer = everything()
    fewer["hidden"][1] = fewer["ffn"][3] = False
    masks.change(fewer, weights)
    assert values["w1"][3].abs().sum() == values["w2"][1].abs().sum() == values["b1"][3] == 0
    assert torch.equal(
        values["w1"][fewer["ffn"]][:, fewer["hidden"]], before["w1"][[0, 1, 2, 4, 5]][:, [0, 2, 3]]
    )
    for x in values.values():  # an optimizer's momentum moves them
        x.add_(0.5)
    moved = {n: x.clone() for n, x in values.items()}
    masks.apply(weights)
    assert values["w1"][3].abs().sum() == values["w2"][:, 3].abs().sum() == 0
    masks.change(everything(), weights)
    assert torch.equal(values["w1"][3], before["w1"][3]) and values["b1"][3] == before["b1"][3]
    assert torch.equal(values["w1"][0, 0], moved["w1"][0, 0]) and not masks.held
    masks.change(fewer, weights)
    masks.release()
    masks.change(everything(), weights)
    assert values["w1"][3].abs().sum() == 0
