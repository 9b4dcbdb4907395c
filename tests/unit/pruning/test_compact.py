"""`lightpaff compact`: a stock model that computes what the masked one does."""

import pytest
import torch
from fairseq import checkpoint_utils

import toy
from lightpaff_fairseq.checkpoints.reading import read_checkpoint
from lightpaff_fairseq.checkpoints.state_dict import KEPT
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.pruning import compact as module
from lightpaff_fairseq.pruning.compact import compact_checkpoint
from lightpaff_fairseq.pruning.layer_norm import KeptDimensions
from prunable_cases import CASES, PAIRS, Prunable, build, do_nothing


def compacted(built, tmp_path):
    path, out = built.save(tmp_path / "pruned.pt"), tmp_path / "small.pt"
    assert main(["compact", "--path", str(path), "--out", str(out)]) == 0
    (small,), cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(out)])
    return small, cfg, task


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_small_model_is_stock_and_computes_what_the_masked_one_does(name, tmp_path):
    built = build(CASES[name], tmp_path)
    whole = built.outputs(built.model)
    pruner = built.prune()
    masked = built.outputs(built.model)
    small, cfg, task = compacted(built, tmp_path)
    for a, b, before in zip(masked, built.outputs(small), whole):
        assert a.shape == b.shape and a.std() > 0.01
        assert (a - b).abs().max() <= 1e-5 * max(1, a.abs().max())
        assert (a - before).abs().max() > 0.05  # something was pruned
    assert not any(isinstance(m, KeptDimensions) for m in small.modules())
    assert not any(KEPT in key for key in small.state_dict())
    assert sum(p.numel() for p in small.parameters()) == pruner.plan.parameters[1]
    kind = CASES[name].kind[1]
    assert cfg.task._name == kind and type(task).__name__ == type(built.task).__mro__[2].__name__
    assert not any(key.startswith("prune_") or key == "max_update" for key in cfg.task)
    sizes = {s: (x.width, x.heads, x.ffn) for s, x in pruner.plan.layout.student.items()}
    for side, (width, heads, ffn) in sizes.items():
        values = [getattr(cfg.model, f"{side}_{key}") for key in ("embed_dim", "attention_heads")]
        assert values == [width, heads] and getattr(cfg.model, f"{side}_ffn_embed_dim") == ffn


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if "sinusoidal" not in name])
def test_pruned_units_are_zero_and_no_gradient_reaches_them(name, tmp_path):
    """Where positions are a formula, they stay in the stream (and nothing kept reads them)."""
    built = build(CASES[name], tmp_path)
    pruner = built.prune()
    sample = toy.batch(built.task, range(9))
    built.model(**sample["net_input"])[0].square().sum().backward()
    seen = 0
    for key, p in built.model.named_parameters():
        if p.grad is None:  # a head that was not used
            continue
        for axis, group in enumerate(pruner.plan.groups.axes[key]):
            if group:
                gone = (~pruner.masks.kept[group]).nonzero().flatten()
                seen += len(gone)
                assert p.index_select(axis, gone).abs().sum() == 0
                assert p.grad.index_select(axis, gone).abs().sum() == 0
    assert seen > 100


@pytest.mark.slow
def test_nothing_pruned_is_a_plain_checkpoint(tmp_path):
    case = Prunable(PAIRS, ("--arch", "transformer"), target=("--prune-target-width", 1))
    built = build(case, tmp_path)
    before = built.outputs(built.model)
    built.prune()
    assert all(torch.equal(a, b) for a, b in zip(before, built.outputs(built.model)))
    small, _, _ = compacted(built, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(before, built.outputs(small)))
    assert small.state_dict().keys() == built.model.state_dict().keys()


def test_a_target_that_is_not_reached_yet_is_refused(tmp_path, capsys):
    built = build(CASES["roberta"], tmp_path)
    built.task.pruner.step(None, 5, do_nothing)
    path = built.save(tmp_path / "early.pt")
    out = tmp_path / "small.pt"
    assert main(["compact", "--path", str(path), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "pruning ends at update 7" in said and "--validate-after-updates 7" in said
    assert not out.exists()


def test_a_checkpoint_of_another_task_is_refused(tmp_path):
    built = build(CASES["roberta"], tmp_path, prunable=False)
    path = toy.save_model(tmp_path / "t.pt", built.cfg, built.model)
    with pytest.raises(ValueError, match="wrote for a prunable task, got one without"):
        compact_checkpoint(path, tmp_path / "small.pt")


def test_masks_that_are_not_the_plans_are_refused(tmp_path):
    built = build(CASES["roberta"], tmp_path)
    built.prune().masks.kept["encoder.0.ffn"][:] = True
    path = built.save(tmp_path / "t.pt")
    with pytest.raises(ValueError, match="the checkpoint is corrupt"):
        compact_checkpoint(path, tmp_path / "small.pt")


def test_a_model_that_computes_something_else_is_never_written(tmp_path, monkeypatch):
    built = build(CASES["roberta"], tmp_path)
    built.prune()
    path = built.save(tmp_path / "t.pt")
    original = module.transfer

    def wrong(*args):
        found = original(*args)
        name = "encoder.sentence_encoder.layers.0.fc1.bias"
        return {**found, name: found[name] + 0.1}

    monkeypatch.setattr(module, "transfer", wrong)
    with pytest.raises(ValueError, match="does not compute what the masked one does"):
        compact_checkpoint(path, tmp_path / "small.pt")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["data", "t.pt"]


def test_out_is_not_overwritten_unasked_and_never_the_source(tmp_path):
    built = build(CASES["roberta"], tmp_path)
    built.prune()
    path, out = built.save(tmp_path / "t.pt"), tmp_path / "small.pt"
    out.write_text("mine")
    with pytest.raises(ValueError, match="--force"):
        compact_checkpoint(path, out)
    with pytest.raises(ValueError, match="is the file of --path"):
        compact_checkpoint(path, path, overwrite=True)
    compact_checkpoint(path, out, overwrite=True)
    assert toy.checkpoint(out)["cfg"]["task"]["_name"] == "masked_lm"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["strip", "init-student", "prune-plan"])
def test_masked_models_are_refused_where_they_would_be_misunderstood(command, tmp_path, capsys):
    built = build(CASES["roberta"], tmp_path)
    built.prune()
    path = str(built.save(tmp_path / "t.pt"))
    argv = {
        "strip": ["--path", path, "--out", str(tmp_path / "x.pt")],
        "prune-plan": ["--path", path, "--target-width", "0.5"],
        "init-student": ["--teacher", path, "--out", str(tmp_path / "x.pt"), "--arch", "roberta"],
    }
    assert main([command, *argv[command]]) == 2
    assert "lightpaff compact" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--kd-teacher .*lightpaff compact"):
        read_checkpoint(tmp_path / "t.pt", "--kd-teacher")


def test_an_unpruned_checkpoint_of_a_prunable_task_is_stripped_to_the_stock_task(tmp_path, capsys):
    built = build(CASES["roberta"], tmp_path)
    path, out = built.save(tmp_path / "t.pt"), tmp_path / "x.pt"
    assert main(["strip", "--path", str(path), "--out", str(out)]) == 0
    assert "needs --user-dir" not in capsys.readouterr().out
    assert toy.checkpoint(out)["cfg"]["task"]["_name"] == "masked_lm"
