"""Intermediate losses on real models: right positions, invariance, gradients, refusals."""

import copy

import pytest
import torch
from fairseq.modules import MultiheadAttention

import toy
from cases import CASES
from lightpaff_fairseq.criterions import distiller
from lightpaff_fairseq.losses.intermediate import INTERMEDIATE_LOSSES
from lightpaff_fairseq.models.activations import ActivationRecorder, layer_stacks
from setting import Setting

KINDS_OF_USE = {
    "embedding": ("--kd-embedding-weight", 0.7),
    "hidden": ("--kd-hidden-weight", 0.5),
    "cosine": ("--kd-hidden-weight", 0.5, "--kd-hidden-loss", "cosine"),
    "pkd": ("--kd-hidden-weight", 0.5, "--kd-hidden-loss", "pkd"),
    "attention": ("--kd-attention-weight", 0.3),
    "mse_sum": ("--kd-attention-weight", 0.3, "--kd-attention-loss", "mse_sum"),
    "ce": ("--kd-attention-weight", 0.3, "--kd-attention-loss", "ce"),
    "ce_mean": ("--kd-attention-weight", 0.3, "--kd-attention-loss", "ce_mean"),
    "relation": ("--kd-relation-weight", 0.2),
    "token": ("--kd-relation-weight", 0.2, "--kd-relation", "token"),
    "channel": ("--kd-relation-weight", 0.2, "--kd-relation", "channel"),
}
ALL = tuple(x for kind in INTERMEDIATE_LOSSES for x in KINDS_OF_USE[kind])
FAMILIES = [c for c in CASES if c.name in ("kd_mlm", "kd_clm", "kd_lu", "kd_mssm", "kd_ss")]
BY_NAME = pytest.mark.parametrize("case", FAMILIES, ids=lambda c: c.name)
BY_USE = pytest.mark.parametrize("use", KINDS_OF_USE)


def run(setting: Setting, criterion, indices=range(8)):
    torch.manual_seed(0)  # fresh projections are drawn at the first step
    return setting.run(criterion, toy.batch(setting.task, list(indices)))


def test_every_kind_is_tried():
    assert set(INTERMEDIATE_LOSSES) <= set(KINDS_OF_USE)
    assert len(INTERMEDIATE_LOSSES) == 4 and len(FAMILIES) == 5


@BY_NAME
@BY_USE
def test_terms_add_their_weighted_value_and_reach_student_and_projection_only(settings, case, use):
    setting = settings(case)
    flags = KINDS_OF_USE[use]
    criterion = setting.criterion(*flags)
    loss, grads, log = run(setting, criterion)
    plain, plain_grads, _ = run(setting, setting.criterion())
    kind = flags[0].removeprefix("--kd-").removesuffix("-weight")
    value = float(log[f"kd_{kind}"])
    assert value > 0
    assert loss.item() == pytest.approx(plain.item() + flags[1] * value, rel=1e-5)
    assert any((grads[n] - g).abs().max() > 1e-7 for n, g in plain_grads.items())
    assert all(p.grad is None for p in criterion.distiller.teacher.model.parameters())
    for name, parameter in criterion.named_parameters():
        assert (
            name.startswith("distiller.intermediate.terms.") and parameter.grad.abs().sum() > 0
        ), name
    assert ("projection" in str(list(criterion.state_dict()))) == (
        use in ("embedding", "hidden", "cosine", "pkd", "channel")
    )


@pytest.mark.parametrize("name", ["kd_lu", "kd_ss"])
def test_without_the_output_only_intermediate_losses_are_trained(settings, name):
    setting = settings(next(case for case in FAMILIES if case.name == name))
    both, grads, log = run(setting, setting.criterion(*KINDS_OF_USE["attention"]))
    alone, grads_alone, _ = run(
        setting, setting.criterion(*KINDS_OF_USE["attention"], kd_output_weight=0.0)
    )
    _, plain_grads, _ = run(setting, setting.criterion())
    assert both > alone
    assert alone.item() == pytest.approx(0.3 * float(log["kd_attention"]), rel=1e-5)
    for parameter, grad in plain_grads.items():
        expected = grads[parameter] - grad
        assert (grads_alone[parameter] - expected).abs().max() < 1e-5, parameter


@BY_NAME
def test_an_equal_teacher_is_the_minimum(settings, case, tmp_path):
    setting = settings(case)
    cfg = toy.parse(*case.argv(setting.data, "--max-tokens", 500))
    path = toy.save_model(tmp_path / "same.pt", cfg, setting.student)
    flags = (*ALL, "--kd-layer-map", "first", "--kd-lambda", 1, "--kd-teacher", path)
    loss, grads, log = run(setting, setting.criterion(*flags))
    assert {k: float(v) for k, v in log.items() if k.startswith("kd_") and k != "kd_positions"} == (
        pytest.approx({f"kd_{kind}": 0 for kind in (*INTERMEDIATE_LOSSES, "loss")}, abs=1e-3)
    )
    largest = max(p.abs().max() for p in setting.student.parameters())
    assert all(g.abs().max() < 1e-3 * largest for g in grads.values())


@BY_NAME
@BY_USE
def test_padding_and_batch_split_change_nothing(settings, case, use):
    setting = settings(case)
    criterion = setting.criterion(*KINDS_OF_USE[use], "--kd-lambda", 0)
    whole = run(setting, criterion)
    criterion.zero_grad()
    parts = [run(setting, criterion, [i]) for i in range(8)]
    assert sum(p[0].item() for p in parts) == pytest.approx(whole[0].item(), rel=1e-4)
    largest = max(g.abs().max() for g in whole[1].values())
    for name, grad in whole[1].items():
        total = sum(p[1][name] for p in parts if name in p[1])
        assert (total - grad).abs().max() < 1e-4 * largest, name


@BY_NAME
def test_what_is_recorded_is_what_the_model_computed(settings, case):
    setting = settings(case)
    model = copy.deepcopy(setting.teacher).double().eval()
    modules, given = tuple(layer_stacks(model)), {}
    for module in (m for m in model.modules() if isinstance(m, MultiheadAttention)):
        module.register_forward_pre_hook(
            lambda m, _, inputs: given.update({m: inputs}), with_kwargs=True
        )
    net_input = toy.batch(setting.task, range(6))["net_input"]
    with ActivationRecorder(model, modules, with_attention=True) as trace:
        if "decoder" in modules:
            states = model(**net_input)[1]["inner_states"]
            side = trace["decoder"]
        else:
            states = model(**net_input, features_only=True, return_all_hiddens=True)[1]
            states, side = states["inner_states"], trace["encoder"]
    recorded = [side.embedding, *side.hidden]
    assert len(recorded) == len(states) == 3
    for hidden, state in zip(recorded, states):
        torch.testing.assert_close(hidden, state.transpose(0, 1))

    recorded = [attention for side in trace.values() for attention in side.attention]
    assert len(recorded) == len(given) == 2 * len(modules)
    for attention in recorded:
        inputs = {name: given[attention.module][name] for name in ("query", "key", "value")}
        _, weights = attention.module(**inputs)
        torch.testing.assert_close(attention.scores().softmax(-1).mean(1), weights)


@BY_NAME
def test_no_hook_without_these_losses_and_none_left_behind(settings, case, monkeypatch):
    setting = settings(case)

    def hooks():
        modules = (*setting.student.modules(), *criterion.distiller.teacher.model.modules())
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    criterion = setting.criterion(*ALL)
    run(setting, criterion)
    assert hooks() == 0
    models = (setting.student, criterion.distiller.teacher.model)
    attentions = [m for x in models for m in x.modules() if isinstance(m, MultiheadAttention)]
    assert attentions and not any(m.skip_embed_dim_check for m in attentions)
    monkeypatch.setattr(distiller, "ActivationRecorder", None)  # must not be asked for
    criterion = setting.criterion()
    run(setting, criterion)
    assert criterion.distiller.intermediate is None and hooks() == 0


@pytest.mark.slow
def test_different_numbers_of_heads(tmp_path):
    case = next(c for c in CASES if c.name == "kd_mlm")
    setting = Setting(case, tmp_path)
    wide = ("--encoder-attention-heads", 4)
    setting.task, setting.student, _ = toy.build(*case.argv(setting.data, *wide))
    for flags in (("--kd-attention-loss", "mse_sum"), ("--kd-attention-loss", "ce_mean")):
        criterion = setting.criterion(*wide, "--kd-attention-weight", 1, *flags)
        assert float(run(setting, criterion)[2]["kd_attention"]) > 0
    criterion = setting.criterion(*wide, "--kd-relation-weight", 1)
    assert float(run(setting, criterion)[2]["kd_relation"]) > 0
    with pytest.raises(ValueError, match="head by head; encoder: the student has 4 heads, the te"):
        run(setting, setting.criterion(*wide, "--kd-attention-weight", 1))


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--kd-hidden-weight", -1), "--kd-hidden-weight -1.0: expected 0 (off) or more"),
        (("--kd-relation", "key,kee"), "--kd-relation key,kee: expected some of query, key"),
        (("--kd-relation", ""), "--kd-relation '': expected a value, got an empty one"),
        (("--kd-modules", "middle"), "--kd-modules middle: expected some of encoder, decoder, c"),
        (("--kd-sides", "middle"), "--kd-sides middle: expected some of encoder, decoder, cross"),
        (("--kd-relation-heads", -2), "--kd-relation-heads -2"),
    ],
    ids=str,
)
def test_values_out_of_range(settings, flags, words):
    with pytest.raises(ValueError) as caught:
        settings(FAMILIES[0]).criterion(*flags)
    assert words in str(caught.value)


def test_the_former_name_of_modules_works_and_warns(settings, caplog):
    setting = settings(next(c for c in CASES if c.name == "kd_ss"))
    flags = ("--kd-hidden-weight", 1)
    caplog.set_level("WARNING")
    want = run(setting, setting.criterion(*flags, "--kd-modules", "decoder"))
    assert not caplog.messages
    criterion = setting.criterion(*flags, "--kd-sides", "decoder")
    assert caplog.messages == ["--kd-sides is now called --kd-modules"]
    got = run(setting, criterion)
    assert got[0] == want[0] and got[0] != run(setting, setting.criterion(*flags))[0]
    with pytest.raises(ValueError, match="--kd-sides cross: the old name of --kd-modules"):
        setting.criterion(*flags, "--kd-sides", "cross", "--kd-modules", "decoder")


@pytest.mark.parametrize(
    "name,flags,words",
    [
        ("kd_mlm", ("--kd-modules", "decoder"), "--kd-modules decoder: the student has only enc"),
        ("kd_ss", ("--kd-modules", "cross"), "--kd-modules cross: has attentions only"),
        ("kd_mlm", ("--kd-decoder-layer-map", "first"), "only for a model with encoder and"),
        ("kd_ss", ("--kd-layer-map", "5:1"), "--kd-layer-map"),
        ("kd_ss", ("--kd-decoder-layer-map", "1:9"), "--kd-decoder-layer-map"),
        (
            "kd_ss",
            ("--kd-relation-weight", 1, "--kd-relation-heads", 3),
            "--kd-relation-heads 3: does not divide encoder width 8",
        ),
    ],
    ids=str,
)
def test_flags_that_do_not_fit_the_models(settings, name, flags, words):
    setting = settings(next(c for c in CASES if c.name == name))
    with pytest.raises(ValueError) as caught:
        run(setting, setting.criterion("--kd-hidden-weight", 1, *flags))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "arch,kd,words",
    [
        (("--encoder-layerdrop", 0.5), ("--kd-hidden-weight", 1), "--encoder-layerdrop 0.5"),
        (("--checkpoint-activations",), ("--kd-attention-weight", 1), "--checkpoint-activations"),
    ],
    ids=str,
)
def test_layers_that_cannot_be_matched_are_refused(settings, arch, kd, words):
    case = next(c for c in CASES if c.name == "kd_ss")
    setting = settings(case)
    student = toy.build(*case.argv(setting.data, *arch))[1]
    with pytest.raises(ValueError, match=words):
        setting.run(setting.criterion(*kd), toy.batch(setting.task, range(4)), student)


def test_hidden_states_match_under_activation_checkpointing(settings):
    case = next(c for c in CASES if c.name == "kd_ss")
    setting = settings(case)
    flags = ("--kd-hidden-weight", 1, "--kd-lambda", 0.5)
    want = run(setting, setting.criterion(*flags))
    student = toy.build(*case.argv(setting.data, "--checkpoint-activations"))[1]
    student.load_state_dict(setting.student.state_dict())
    torch.manual_seed(0)
    got = setting.run(setting.criterion(*flags), toy.batch(setting.task, range(8)), student)
    assert got[0].item() == pytest.approx(want[0].item(), rel=1e-6)
    for name, grad in want[1].items():
        torch.testing.assert_close(got[1][name], grad, rtol=1e-4, atol=1e-5)


def test_attentions_of_xformers_are_refused(settings):
    """The package is not needed: fairseq marks its modules."""
    setting = settings(next(case for case in CASES if case.name == "kd_clm"))
    criterion = setting.criterion("--kd-relation-weight", 1)
    attention = setting.student.decoder.layers[0].self_attn
    attention.use_xformers = True
    try:
        with pytest.raises(ValueError, match="--arch: attentions of xformers cannot be matched"):
            criterion.before_training(setting.student, lambda: 0)
        setting.criterion("--kd-hidden-weight", 1).before_training(setting.student, lambda: 0)
    finally:
        attention.use_xformers = False
