"""`--kd-on-policy`: what is learned from, and that everything else stays as it is."""

import copy
from argparse import Namespace

import numpy as np
import pytest
import torch

import toy
from cases import CASES
from lightpaff_fairseq.criterions.on_policy import OnPolicy
from lightpaff_fairseq.protocols import DUMMY_BATCH, ON_POLICY
from setting import assert_same, naive_loss

SS, LM, MLM, MASS, LU = (
    next(c for c in CASES if c.name == name)
    for name in ("kd_ss", "kd_lm", "kd_mlm", "kd_mssm", "kd_lu")
)
GREEDY = '{"beam": 1, "max_len_a": 0, "max_len_b": 9}'
PAD, EOS, LIMIT, PROMPT = 1, 2, 9, 2


def on_policy(setting, *, updates=lambda: 0, **values):
    """The criterion of a setting, ready, and its source of batches."""
    values = {"kd_on_policy": 1.0, "kd_on_policy_args": GREEDY, "seed": 3, **values}
    if setting.case is LM:
        values["kd_on_policy_prompt"] = PROMPT
    criterion = setting.criterion(**values)
    criterion.before_training(setting.student, updates)
    return criterion, criterion.distiller.on_policy


@torch.no_grad()
def continued(model, inputs, prompt, limit):
    """The most probable continuation of a prompt, one token after another, in one row."""
    tokens = list(prompt)
    while not tokens or tokens[-1] != EOS:
        lprobs = model(**inputs(torch.tensor([[EOS, *tokens]])))[0][0, -1].log_softmax(-1)
        lprobs[PAD] = -torch.inf
        if not tokens:
            lprobs[EOS] = -torch.inf  # --min-len 1
        tokens.append(EOS if len(tokens) == limit else int(lprobs.argmax()))
    return tokens


@pytest.mark.parametrize("case", [SS, LM], ids=str)
def test_the_student_continues_greedily_and_the_loss_is_the_teachers_divergence(settings, case):
    """Rows of unequal lengths; dropout is on in the student, and off while it generates."""
    setting = settings(case)
    sample = toy.batch(setting.task, range(6))
    criterion, source = on_policy(setting)
    student = setting.student.train()
    torch.manual_seed(2)
    with torch.no_grad():  # else nearly every token is as probable as any other
        for parameter in student.parameters():
            parameter.normal_(std=0.3)
    student.decoder.dropout_module.p = 0.5
    random, modes = torch.get_rng_state(), [m.training for m in student.modules()]
    got = source.batch(sample)
    student.decoder.dropout_module.p = 0.0
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in student.modules()] == modes and all(modes)
    student.eval()
    for i in range(6):
        row = got["target"][i]
        if case is SS:
            source_row = {k: v[i : i + 1] for k, v in sample["net_input"].items()}
            prompt, limit = [], LIMIT

            def inputs(tokens, row=source_row):
                return {**row, "prev_output_tokens": tokens}

            given = got["net_input"]["prev_output_tokens"][i]
        else:
            text = sample["target"][i]  # ends with eos and padding
            prompt = text[(text != PAD) & (text != EOS)][:PROMPT].tolist()
            limit = LIMIT + PROMPT

            def inputs(tokens):
                return {"src_tokens": tokens}

            given = got["net_input"]["src_tokens"][i]
            assert got["net_input"]["src_lengths"][i] == given.ne(PAD).sum()
        tokens = continued(student, inputs, prompt, limit)
        labels = [*[PAD] * len(prompt), *tokens[len(prompt) :]]
        padding = [PAD] * (len(row) - len(tokens))
        assert row.tolist() == labels + padding
        assert given.tolist() == [EOS, *tokens[:-1], *padding]
    assert got["ntokens"] == got["target"].ne(PAD).sum()
    assert len({len(x[x != PAD]) for x in got["target"]}) > 1, "all of one length prove little"
    loss, grads, log = setting.run(criterion, sample)
    expected = naive_loss(setting, got, 1.0, 1.0, 0.0)
    assert_same((loss, grads), expected[:2], 1e-4)
    assert log["kd_on_policy_loss"].item() == pytest.approx(expected[3], rel=1e-4)
    assert not {"nll_loss", "kd_loss"} & log.keys() and log["sample_size"] == got["ntokens"]


def test_prefixes_without_a_loss_are_those_of_the_target(settings):
    setting = settings(SS)
    sample = toy.batch(setting.task, range(6))
    _, source = on_policy(setting, ignore_prefix_size=1)
    got = source.batch(sample)
    assert torch.equal(got["target"][:, 0], sample["target"][:, 0])
    assert torch.equal(got["net_input"]["prev_output_tokens"][:, 1], sample["target"][:, 0])


def test_batches_are_kept_for_the_interval_and_saved(settings):
    """Of two batches per update; samples differ by update and batch, but not by repetition."""
    setting, update = settings(SS), [0]
    samples = [toy.batch(setting.task, [i, i + 1]) for i in range(12)]
    args = '{"sampling": true, "max_len_a": 0, "max_len_b": 9}'
    flags = {"kd_on_policy_interval": 3, "kd_on_policy_args": args}

    def fresh():
        return on_policy(setting, updates=lambda: update[0], **flags)[1]

    def targets(source, at):
        update[0] = at
        return [source.batch(samples[2 * at + i])["target"].tolist() for i in range(2)]

    source = fresh()
    rounds = [targets(source, at) for at in range(4)]
    assert rounds[0] == rounds[1] == rounds[2] != rounds[3] and rounds[0][0] != rounds[0][1]
    again = fresh()
    assert targets(again, 0) == rounds[0], "draws depend on more than seed and update"
    again.gather()
    resumed = fresh()
    resumed.load(copy.deepcopy(again.state))
    assert [targets(resumed, at) for at in (1, 2, 3)] == rounds[1:]
    dummy = source.batch({**samples[0], DUMMY_BATCH: True})
    assert dummy[ON_POLICY] and torch.equal(dummy["target"], samples[0]["target"])


def test_updates_are_chosen_by_seed_and_number_in_the_given_share(settings):
    chosen = []
    for seed in (1, 2):
        source = OnPolicy.__new__(OnPolicy)
        source._cfg = settings(SS).criterion(kd_on_policy=0.3, seed=seed).distiller.cfg
        chosen.append([source.is_chosen(i) for i in range(2000)])
    assert chosen[0] != chosen[1]
    for each in chosen:
        assert 0.27 < sum(each) / 2000 < 0.33  # four standard deviations
    assert settings(SS).criterion(kd_on_policy=0.0).distiller.on_policy is None


@pytest.mark.parametrize(
    ("case", "values", "words"),
    [
        (SS, {"kd_on_policy": 1.5}, "--kd-on-policy 1.5: expected a share from 0"),
        (SS, {"kd_on_policy": -0.1}, "--kd-on-policy -0.1: expected a share from 0"),
        (SS, {"kd_on_policy_interval": 0}, "--kd-on-policy-interval 0: expected 1 or more"),
        (SS, {"kd_teacher": None, "kd_cache": "c"}, "expected --kd-teacher, got --kd-cache c"),
        (SS, {"kd_teacher": None}, "--kd-on-policy 0.5: expected --kd-teacher, got none"),
        (SS, {"kd_lambda": 0.0}, "expected --kd-lambda above 0, got 0"),
        (SS, {"kd_select": "cross_entropy:0.5"}, "expected a --kd-select without labels"),
        (
            SS,
            {"kd_schedule": "lambda:cosine", "kd_schedule_updates": 9},
            "expected --kd-schedule without lambda",
        ),
        (SS, {"kd_on_policy_prompt": 3}, "--kd-on-policy-prompt 3: has no effect with"),
        (SS, {"kd_on_policy": 0, "kd_on_policy_args": GREEDY}, "has no effect without"),
        (SS, {"kd_on_policy_args": "beam"}, "expected an object in JSON"),
        (SS, {"kd_on_policy_args": '{"beams": 1}'}, "beams: expected some of sampling, "),
        (SS, {"kd_on_policy_args": '{"beam": 0}'}, "beam 0: expected 1 or more"),
        (SS, {"kd_on_policy_args": '{"beam": 1.5}'}, "beam 1.5: expected 1 or more"),
        (SS, {"kd_on_policy_args": '{"sampling": 1}'}, "sampling: expected true or false"),
        (MLM, {}, "expected --criterion kd_ss, kd_lm or kd_clm, whose student can generate"),
        (MASS, {}, "got kd_mssm"),
        (LU, {}, "got kd_lu"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(settings, case, values, words):
    with pytest.raises(ValueError) as error:
        settings(case).criterion(**{"kd_on_policy": 0.5, **values})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ('{"sampling": true, "sampling_topk": 99}', "a sampling_topk of at most the vocabulary"),
        ('{"beam": 2, "sampling_topk": 3}', "--sampling-topk requires --sampling"),
        ('{"min_len": 64}', "expected room for more than 65 tokens"),
    ],
)
def test_arguments_that_the_task_rejects_are_refused_before_training(settings, args, words):
    with pytest.raises(ValueError, match=words):
        on_policy(settings(SS), kd_on_policy_args=args)


def learn(model, criterion, sample, updates):
    """Adam on one batch, as fairseq divides the loss."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for update in updates:
        model.train().zero_grad()
        loss, size, _ = criterion(model, sample)
        (loss / size).backward()
        optimizer.step()
        yield update


def test_a_student_learns_to_copy_from_its_own_outputs(tmp_path):
    """Its data have wrong targets: what it copies, it has from the teacher."""
    words, rng = 5, np.random.default_rng(1)
    sources = [[*rng.integers(4, 4 + words, 3).tolist(), EOS] for _ in range(32)]
    for name, targets in (("copy", sources), ("wrong", [[4, EOS]] * 32)):
        for lang, rows in (("sv", sources), ("en", targets)):
            toy.write_dictionary(tmp_path / name / f"dict.{lang}.txt", words)
            toy.write_split(tmp_path / name / f"train.sv-en.{lang}", rows)
    wide = ("--encoder-embed-dim", 32, "--decoder-embed-dim", 32, "--label-smoothing", 0)
    argv = (*SS.argv(tmp_path / "copy", teacher=True), *wide)
    task, teacher, criterion = toy.build(*argv)
    list(learn(teacher, criterion.train(), toy.batch(task, range(32)), range(80)))
    toy.save_model(tmp_path / "teacher.pt", toy.parse(*argv, "--max-tokens", 500), teacher)
    flags = ("--criterion", "kd_ss", "--kd-teacher", tmp_path / "teacher.pt", "--kd-on-policy", 1)
    task, student, criterion = toy.build(*SS.argv(tmp_path / "wrong"), *wide, *flags)
    update, sample = [0], toy.batch(task, range(32))
    criterion.train().before_training(student, lambda: update[0])
    for update[0] in learn(student, criterion, sample, range(1, 80)):
        pass
    generator = task.build_generator([student.eval()], Namespace(beam=1, max_len_b=5))
    outputs = task.inference_step(generator, [student], sample)
    copies = [
        best[0]["tokens"].tolist() == [x for x in row.tolist() if x != PAD]
        for best, row in zip(outputs, sample["net_input"]["src_tokens"], strict=True)
    ]
    assert sum(copies) > 16  # of 32; a guess is right once in 125 times
