"""The pruner's course: units leave and return until the end, and what it refuses."""

import pytest
import torch

from prunable_cases import CASES, build, do_nothing

GROUP = "encoder.0.ffn"
NAME = "encoder.sentence_encoder.layers.0.fc2.weight"


def planted(built, order):
    """Scores under which FFN units leave in this order, and all other units in any."""
    pruner = built.task.pruner
    scores = {g: torch.rand(n) for g, n in pruner.plan.groups.sizes.items()}
    scores[GROUP] = torch.empty(24)
    scores[GROUP][torch.tensor(order)] = torch.arange(24.0) + 1
    pruner.importance.mean = scores
    return pruner


def sensitive(tmp_path, *flags):
    more = ("--prune-importance", "sensitivity", "--prune-interval", 2, *flags)
    return build(CASES["roberta"], tmp_path, *more, "--max-update", 20, "--prune-end", 16)


def test_units_return_before_the_end_with_their_weights_and_never_after_it(tmp_path):
    built = sensitive(tmp_path)
    before = dict(built.model.named_parameters())[NAME].detach().clone()
    weight = dict(built.model.named_parameters())[NAME]
    pruner = planted(built, range(24))
    pruner.step(None, 12, do_nothing)
    kept = pruner.masks.kept[GROUP].clone()
    gone = (~kept).nonzero().flatten()
    assert gone.tolist() == list(range(len(gone))) and 8 < len(gone) < 12
    with torch.no_grad():
        weight += 1  # an optimizer's momentum
    pruner.step(None, 13, do_nothing)  # no evaluation
    assert weight[:, gone].abs().sum() == 0 and torch.equal(pruner.masks.kept[GROUP], kept)
    pruner = planted(built, range(23, -1, -1))  # now the first are the best
    pruner.step(None, 14, do_nothing)
    rows = pruner.masks.kept["encoder.hidden"]
    assert pruner.masks.kept[GROUP][:11].all() and (weight[rows][:, gone] != 0).all()
    chosen = rows & (before != 0).any(1)
    assert torch.equal(weight[chosen][:, gone], before[chosen][:, gone])
    pruner.step(None, 16, do_nothing)
    assert pruner.is_finished and not pruner.masks.pruned_values
    final = {g: k.clone() for g, k in pruner.masks.kept.items()}
    planted(built, range(24))
    for update in (17, 18, 20):
        with torch.no_grad():
            weight += 1
        pruner.step(None, update, do_nothing)
        assert all(torch.equal(k, final[g]) for g, k in pruner.masks.kept.items())
        assert weight[:, ~final[GROUP]].abs().sum() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_group_follows_the_schedule_to_the_exact_target(name, tmp_path):
    built = build(CASES[name], tmp_path, "--max-update", 20, "--prune-start", 4, "--prune-end", 12)
    pruner = built.task.pruner
    final = pruner.plan.kept_sizes()
    counts = []
    for update in range(1, 16):
        pruner.step(None, update, do_nothing)
        counts.append({g: int(k.sum()) for g, k in pruner.masks.kept.items()})
    assert counts[3] == pruner.plan.groups.sizes and counts[11] == counts[14] == final
    for before, after in zip(counts, counts[1:]):
        assert all(after[g] <= n for g, n in before.items())
    assert all(2 * n == pruner.plan.groups.sizes[g] for g, n in final.items())


def test_scores_that_are_not_finite_are_not_observed_and_the_end_waits_for_some(tmp_path):
    built = sensitive(tmp_path)
    pruner = built.task.pruner
    for p in built.model.parameters():
        p.grad = torch.full_like(p, float("nan"))
    pruner.step(None, 16, do_nothing)
    assert not pruner.importance.has_observed()
    assert not pruner.masks.active and not pruner.is_finished
    for p in built.model.parameters():
        p.grad = torch.randn_like(p)
    pruner.step(None, 17, do_nothing)
    assert pruner.is_finished


def test_sharded_parameters_are_refused(tmp_path):
    built = sensitive(tmp_path)
    for p in built.model.parameters():
        p.data = p.data.flatten()
    with pytest.raises(ValueError, match="sharded parameters"):
        built.task.pruner.step(None, 2, do_nothing)
