"""`lightpaff init-student`: the teacher's function, its layers, and what narrowing keeps of it."""

import copy
from dataclasses import replace

import pytest
import torch
from fairseq.modules import LearnedPositionalEmbedding, SinusoidalPositionalEmbedding

import toy
from lightpaff_fairseq.checkpoints.state_dict import check_equal_tensors
from lightpaff_fairseq.pruning.one_shot import Sample, importances
from student_cases import FAMILIES, make_teacher

NARROW = {"width": 8, "heads": 2, "ffn": 12}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "teachers"
    return lambda name: make_teacher(name, folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_equal_sizes_give_the_teachers_function(name, teacher, tmp_path):
    out, source = tmp_path / "student.pt", teacher(name)
    assert source.start(out) == 0
    source.assert_function(out, 1e-6)
    check_equal_tensors(dict(source.model.state_dict()), toy.checkpoint(out)["model"])
    assert [file.name for file in tmp_path.iterdir()] == ["student.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_dimensions_that_the_teacher_does_not_use_are_left_out(name, teacher, tmp_path):
    out, source = tmp_path / "student.pt", teacher(name)
    assert source.start(out, **NARROW) == 0
    student = source.assert_function(out, 1e-4)
    counts = [sum(p.numel() for p in model.parameters()) for model in (student, source.model)]
    assert counts[0] < 0.55 * counts[1]


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "chosen"), [("uniform", (1, 3)), ("1,4", (0, 3))])
def test_fewer_layers_are_the_teachers_bit_by_bit(layers, chosen, teacher, tmp_path):
    out, source = tmp_path / "student.pt", teacher("roberta, classes")
    assert source.start(out, "--layers", layers, layers=2) == 0
    found, want = toy.checkpoint(out)["model"], source.model.state_dict()
    for ours, theirs in enumerate(chosen):
        layer, taken = (f"encoder.sentence_encoder.layers.{i}." for i in (ours, theirs))
        want = {k.replace(taken, f"new.{layer}"): x for k, x in want.items()}
    want = {
        k.removeprefix("new."): x for k, x in want.items() if ".layers." not in k or "new." in k
    }
    check_equal_tensors(want, found)


@pytest.mark.slow
def test_the_decoder_may_take_other_layers(teacher, tmp_path, capsys):
    out, source = tmp_path / "student.pt", teacher("transformer")
    flags = ("--layers", "first", "--decoder-layers-map", "2,4")
    assert source.start(out, *flags, layers=2) == 0
    found, want = toy.checkpoint(out)["model"], source.model.state_dict()
    for side, chosen in (("encoder", (0, 1)), ("decoder", (1, 3))):
        for ours, theirs in enumerate(chosen):
            key = f"{side}.layers.%d.fc1.weight"
            assert torch.equal(found[key % ours], want[key % theirs])
    printed = capsys.readouterr().out
    assert "encoder: layers 1,2 of 4" in printed and "decoder: layers 2,4 of 4" in printed


@pytest.mark.slow
def test_layers_by_importance_are_those_whose_removal_costs_most(teacher, tmp_path, capsys):
    """Layers that compute nothing are left out, on both sides."""
    source = teacher("transformer")
    model = copy.deepcopy(source.model)
    silent = {"encoder": (0, 2), "decoder": (1, 3)}
    with torch.no_grad():
        for side, layers in silent.items():
            for layer in layers:
                for name, p in getattr(model, side).layers[layer].named_parameters():
                    p.mul_(0 if "out_proj" in name or "fc2" in name else 1)
    path = toy.save_model(tmp_path / "teacher.pt", source.cfg, model)
    changed, out = replace(source, path=path, model=model), tmp_path / "student.pt"
    sample = ("--importance-batches", 2, "--importance-max-tokens", 60)
    assert changed.start(out, "--layers", "importance", *sample, layers=2) == 0
    printed = capsys.readouterr().out
    assert "encoder: layers 2,4 of 4" in printed and "decoder: layers 1,3 of 4" in printed
    assert changed.start(tmp_path / "deep.pt", layers=5) == 2
    error = capsys.readouterr().err
    assert "--encoder-layers: expected from 1 to the teacher's 4, got 5 (the teacher has" in error


@pytest.mark.slow
def test_the_first_dimensions(teacher, tmp_path):
    source = teacher("transformer, pre-norm")
    out = tmp_path / "student.pt"
    assert source.start(out, "--width-by", "first", **NARROW) == 0
    found, want = toy.checkpoint(out)["model"], source.model.state_dict()
    for name, rows, columns in (("fc1", 12, 8), ("fc2", 8, 12), ("encoder_attn.v_proj", 8, 8)):
        name = f"decoder.layers.1.{name}.weight"
        assert torch.equal(found[name], want[name][:rows, :columns])


@pytest.mark.slow
def test_sinusoidal_positions_become_a_table(teacher, tmp_path, monkeypatch):
    learned = teacher("transformer")
    for flag in ("encoder_learned_pos", "decoder_learned_pos"):
        monkeypatch.setattr(learned.cfg.model, flag, False)
    model = learned.task.build_model(learned.cfg.model).eval()
    path = toy.save_model(tmp_path / "teacher.pt", learned.cfg, model)
    source = replace(learned, path=path, model=model)
    assert isinstance(model.decoder.embed_positions, SinusoidalPositionalEmbedding)
    assert source.start(tmp_path / "student.pt") == 0
    student = source.assert_function(tmp_path / "student.pt", 1e-6)
    assert isinstance(student.decoder.embed_positions, LearnedPositionalEmbedding)


def naive_importance(source, sample):
    """|weight * gradient| of the mean loss of each of a few batches, in another way."""
    total = {}
    batches = source.task.get_batch_iterator(
        source.task.dataset("train"),
        max_tokens=sample.max_tokens,
        seed=1,
        required_batch_size_multiple=1,
    ).next_epoch_itr(shuffle=True)
    for batch, _ in zip(batches, range(sample.batches)):
        logits, target = source.model(**batch["net_input"])[0], batch["target"]
        real = target != source.task.target_dictionary.pad()
        loss = torch.nn.functional.cross_entropy(logits[real], target[real])
        names, parameters = zip(*source.model.named_parameters())
        for name, p, g in zip(names, parameters, torch.autograd.grad(loss, parameters)):
            total[name] = total.get(name, 0) + (p * g).abs().detach()
    return total


def test_importance_is_weight_times_gradient(teacher):
    source, sample = teacher("transformer"), Sample(batches=3, max_tokens=40)
    found = importances(source.model, source.task, source.cfg, sample)
    want = naive_importance(source, sample)
    assert found.keys() == want.keys() and any(x.max() > 0 for x in want.values())
    for name in want:
        torch.testing.assert_close(found[name], want[name])
    assert all(p.grad is None for p in source.model.parameters())
    with pytest.raises(ValueError, match="--importance-batches: expected 99 batches .* got "):
        importances(source.model, source.task, source.cfg, Sample(99, 40))
    with pytest.raises(ValueError, match="--importance-max-tokens 3: Sentences lengths should not"):
        importances(source.model, source.task, source.cfg, Sample(1, 3))


@pytest.mark.slow
def test_importance_leaves_out_what_has_no_effect(teacher, tmp_path):
    """Units of large weights that are never active: only magnitude keeps them."""
    source = teacher("transformer")
    model = copy.deepcopy(source.model)
    layer = model.encoder.layers[0]
    with torch.no_grad():
        silent = layer.fc1.weight.abs().sum(1) == 0
        layer.fc1.bias[silent] = -1e4
    path = toy.save_model(tmp_path / "teacher.pt", source.cfg, model)
    changed, out = replace(source, path=path, model=model), tmp_path / "student.pt"
    sample = ("--importance-batches", 2, "--importance-max-tokens", 60)
    assert changed.start(out, "--width-by", "importance", *sample, ffn=12) == 0
    changed.assert_function(out, 1e-4)
    assert changed.start(out, "--force", ffn=12) == 0
    assert (toy.checkpoint(out)["model"]["encoder.layers.0.fc1.bias"] == -1e4).all()
