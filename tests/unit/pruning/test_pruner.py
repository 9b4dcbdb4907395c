"""The pruner's course: units leave and return until the end, and what it refuses."""

import pytest
import torch

import toy
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.pruning.plan import make_plan
from lightpaff_fairseq.pruning.target import Target, possible_sizes
from lightpaff_fairseq.tasks.pruning import method_of
from prunable_cases import (
    CASES,
    HALF,
    LM,
    MLM,
    PAIRS,
    PRE_NORM,
    ROBERTA,
    TIED,
    Prunable,
    build,
    do_nothing,
)

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
    assert not pruner.importance.mean and not pruner.masks.active and not pruner.is_finished
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


REFUSED = {
    "adaptive softmax": (LM, ("transformer_lm", "--adaptive-softmax-cutoff", "8,16"), "adaptive"),
    "adaptive input": (
        LM,
        ("transformer_lm", "--adaptive-input", "--adaptive-input-cutoff", "8,16"),
        r"decoder.embed_tokens.embeddings.0.0.weight",
    ),
    "another model": (PAIRS, ("bart_base",), "expected a model of transformer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_architecture_that_cannot_be_pruned_is_refused_by_name(name, tmp_path):
    kind, arch, words = REFUSED[name]
    sizes = ("--decoder-input-dim", 16, "--decoder-output-dim", 16) if kind is LM else ()
    with pytest.raises(ValueError, match=f"(cannot be pruned|--arch).*{words}"):
        build(Prunable(kind, ("--arch", *arch), sizes), tmp_path)


def test_embeddings_that_cannot_be_rescaled_are_refused(tmp_path):
    case = Prunable(PAIRS, ("--arch", "transformer", *PRE_NORM, TIED, "--no-decoder-final-norm"))
    with pytest.raises(ValueError, match="no LayerNorm that could undo the scale"):
        build(case, tmp_path)


def test_a_width_that_would_drop_a_projection_is_refused(tmp_path):
    flags = ("--arch", "transformer_lm"), ("--decoder-input-dim", 8)
    with pytest.raises(ValueError, match="--decoder-input-dim 8: .*another width"):
        build(Prunable(LM, *flags), tmp_path / "a")
    wider = ("--prune-target-width", 0.75, "--prune-multiple", 4)
    built = build(Prunable(LM, *flags, wider), tmp_path / "b")
    count = built.task.pruner.plan.parameters[1]
    plan = make_plan(built.model, built.cfg.model, Target(params=str(count), multiple=4))
    assert plan.layout.student["decoder"].width == 12 and plan.parameters[1] == count


BAD = [
    (("--prune-target-width", 1.5), "--prune-target-width 1.5: expected a ratio"),
    (("--prune-target-width", 0), "--prune-target-width 0.0: expected a ratio"),
    (("--prune-target-width", "inf"), "--prune-target-width inf: expected a ratio"),
    (("--prune-target-params", "9" * 400), "--prune-target-params '9999"),
    ((*HALF, "--prune-start", "inf"), "--prune-start inf: expected 0 or more"),
    ((*HALF, "--prune-end", "nan"), "--prune-end nan: expected 0 or more"),
    (("--prune-target-width", 32), "--prune-target-width 32: expected at most the model's 16"),
    (("--prune-target-width", 0.05), "too little for the encoder's 4 heads of 4: expected 4"),
    ((), "neither"),
    (("--prune-target-width", 0.5, "--prune-target-params", "1M"), "got both"),
    (("--prune-target-params", "many"), "--prune-target-params 'many': expected a number"),
    (("--prune-target-params", "9B"), "--prune-target-params 9B: expected .* parameters, got"),
    ((*HALF, "--prune-start", 9, "--prune-end", 5), "--prune-start 9.0: expected at most"),
    ((*HALF, "--prune-end", 11), "--prune-end 11.0: .*never be reached"),
    ((*HALF, "--prune-end", 0), "--prune-end 0.0: .*never be reached"),
    ((*HALF, "--prune-start", -1), "--prune-start -1.0: expected 0 or more"),
    ((*HALF, "--prune-interval", 0), "--prune-interval 0"),
    ((*HALF, "--prune-decay", 1), "--prune-decay 1.0: expected 0 to below 1"),
    ((*HALF, "--prune-multiple", 0), "--prune-multiple 0: expected 1 or more"),
    ((*HALF, "--max-update", 0), "--prune-end 0.7: is a fraction of --max-update"),
]


@pytest.mark.parametrize(("flags", "words"), BAD, ids=lambda x: str(x)[:40])
def test_bad_targets_are_refused_before_training(flags, words, tmp_path):
    case = Prunable(MLM, ROBERTA, target=("--prune-multiple", 4))
    with pytest.raises(ValueError, match=words):
        build(case, tmp_path, *flags)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    case = Prunable(MLM, ROBERTA, target=())
    flags = ("--prune-target-width", 1.5, "--prune-decay", 2, "--prune-interval", 0)
    with pytest.raises(ValueError) as found:
        build(case, tmp_path, *flags, "--prune-end", 99)
    for flag in ("target-width", "decay", "interval", "end"):
        assert f"--prune-{flag}" in str(found.value)


def test_a_fraction_and_a_number_of_updates_mean_the_same(tmp_path):
    a, b = (
        method_of(build(CASES["roberta"], tmp_path / x, "--max-update", 50, *flags).task.cfg)
        for x, flags in (
            ("a", ("--prune-start", 0.1, "--prune-end", 0.5)),
            ("b", ("--prune-start", 5, "--prune-end", 25)),
        )
    )
    assert a == b and a.schedule.end == 25


def test_a_target_by_parameters_is_the_closest_size(tmp_path):
    built = build(CASES["mass"], tmp_path)
    sizes = possible_sizes(built.task.pruner.plan.layout.teacher["encoder"], Target(multiple=4))
    assert [s.width for s in sizes] == [4, 8, 12, 16]
    cfg = built.cfg.model
    counts = {
        s.width: make_plan(built.model, cfg, Target(width=s.width, multiple=4)).parameters[1]
        for s in sizes
    }
    assert counts[16] == sum(p.numel() for p in built.model.parameters())
    for width, count in counts.items():
        for wanted in (count, count + 200 if width < 16 else count):
            plan = make_plan(built.model, cfg, Target(params=str(wanted), multiple=4))
            assert plan.layout.student["encoder"].width == width


@pytest.mark.parametrize("name", CASES)
def test_the_printed_plan_counts_the_model_that_its_flags_build(name, tmp_path, capsys):
    """The architecture line goes through fairseq's parser and gives the stated parameters."""
    case = CASES[name]
    built = build(case, tmp_path, prunable=False)
    path = str(toy.save_model(tmp_path / "t.pt", built.cfg, built.model))
    assert main(["prune-plan", "--path", path, "--target-width", "0.5", "--multiple", "4"]) == 0
    printed = capsys.readouterr().out
    count = int(printed.split(" parameters -> ")[1].split()[0].replace(",", ""))
    line = next(x for x in printed.splitlines() if x.startswith("architecture: "))
    flags = line.removeprefix("architecture: ").split()
    task = (tmp_path / "data", "--task", case.kind[1], *case.kind[2])
    model = toy.build(*task, *flags, "--criterion", case.criterion)[1]
    assert sum(p.numel() for p in model.parameters()) == count
    assert "fc1, " in printed and "multiples of 4" in printed
