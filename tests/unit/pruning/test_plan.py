"""Plans: what is refused, targets by parameters, and the flags that `prune-plan` prints."""

import pytest

import toy
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.pruning.plan import make_plan
from lightpaff_fairseq.pruning.target import Target, possible_sizes
from prunable_cases import CASES, LM, PAIRS, PRE_NORM, TIED, Prunable, build

REFUSED = {
    "adaptive softmax": (LM, ("transformer_lm", "--adaptive-softmax-cutoff", "8,16"), "adaptive"),
    "adaptive input": (
        LM,
        ("transformer_lm", "--adaptive-input", "--adaptive-input-cutoff", "8,16"),
        r"decoder.embed_tokens.embeddings.0.0.weight",
    ),
    "another model": (PAIRS, ("bart_base",), "expected a model of transformer"),
}


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_width_that_would_drop_a_projection_is_refused(tmp_path):
    flags = ("--arch", "transformer_lm"), ("--decoder-input-dim", 8)
    with pytest.raises(ValueError, match="--decoder-input-dim 8: .*another width"):
        build(Prunable(LM, *flags), tmp_path / "a")
    wider = ("--prune-target-width", 0.75, "--prune-multiple", 4)
    built = build(Prunable(LM, *flags, wider), tmp_path / "b")
    count = built.task.pruner.plan.parameters[1]
    plan = make_plan(built.model, built.cfg.model, Target(params=str(count), multiple=4))
    assert plan.layout.student["decoder"].width == 12 and plan.parameters[1] == count


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


@pytest.mark.slow
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
