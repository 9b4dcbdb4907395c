"""Bad input stops with one clear error before the first update, and leaves no checkpoint."""

import argparse
from pathlib import Path

import omegaconf
import pytest
import torch
from fairseq import tasks

import toy
from cases import CASES
from lightpaff_fairseq.criterions.config_checks import check_config
from lightpaff_fairseq.criterions.seq2seq import KdSeq2SeqConfig

MSSM, SS = (next(c for c in CASES if c.name == n) for n in ("kd_mssm", "kd_ss"))
RUN = ("--lr", 0.01, "--max-tokens", 100, "--max-update", 1)


def save_teacher(case, folder: Path, data: Path) -> Path:
    cfg = toy.parse(*case.argv(data, *RUN, teacher=True))
    return toy.save_model(
        folder / "teacher.pt", cfg, tasks.setup_task(cfg.task).build_model(cfg.model)
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    data = SS.data(folder / "data")
    return folder, data, save_teacher(SS, folder, data)


def error_of(case, data, save_dir, *flags) -> str:
    """The message with which training stops; checks that nothing was written."""
    argv = case.argv(data, "--criterion", case.name, *RUN, "--save-dir", save_dir, *flags)
    with pytest.raises(ValueError) as caught:
        toy.train(*argv)
    assert not list(Path(save_dir).glob("*"))
    return str(caught.value)


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--kd-lambda", 1.5), ("--kd-lambda 1.5", "from 0 (off) to 1")),
        (("--kd-lambda", -0.1), ("--kd-lambda -0.1",)),
        (("--kd-lambda", "nan"), ("--kd-lambda nan",)),
        (("--kd-temperature", 0), ("--kd-temperature 0.0", "above 0")),
        (("--kd-temperature", "inf"), ("--kd-temperature inf",)),
        (
            ("--kd-skew", 1, "--kd-divergence", "skew_kl"),
            ("--kd-skew 1.0: expected a number from 0",),
        ),
        (
            ("--kd-select", "entropy:2"),
            ("--kd-select entropy:2: expected NAME:SHARE, NAME one of",),
        ),
        (
            ("--kd-select", "random:1", "--kd-temperature-schedule", "cwsm"),
            ("--kd-select random:1: expected --kd-temperature-schedule constant, got cwsm",),
        ),
        (("--kd-skew", 0.2), ("--kd-skew 0.2: has no effect without --kd-divergence skew_kl or",)),
        (("--kd-chunk-tokens", 0), ("--kd-chunk-tokens 0",)),
        (
            ("--kd-kernel", "triton", "--kd-select", "random:1"),
            ("--kd-kernel triton: expected no --kd-select, got random:1",),
        ),
        (
            ("--kd-kernel", "triton", "--kd-temperature-schedule", "cwsm"),
            ("--kd-kernel triton: expected --kd-temperature-schedule constant, got cwsm",),
        ),
        (("--quantize-weights", 4), ("--quantize-weights 4: expected 8, or 0 (off)",)),
        (
            ("--quantize-weights", 8, "--task", "prunable_translation", "--prune-target-width", 1),
            ("--quantize-weights 8: expected a task without pruning, got PrunableTranslationTask",),
        ),
        (("--kd-lambda", 2, "--kd-temperature", -1), ("--kd-lambda 2", "--kd-temperature -1")),
    ],
    ids=str,
)
def test_values_out_of_range(world, tmp_path, flags, words):
    message = error_of(SS, world[1], tmp_path, "--kd-teacher", world[2], *flags)
    assert all(word in message for word in words), message


CHOICES = {
    "kd_tail": "ghost, drop, uniform",
    "kd_divergence": "forward_kl, reverse_kl, jsd, tvd, skew_kl, skew_reverse_kl",
    "kd_kernel": "auto, triton, torch",
    "kd_hidden_loss": "mse, cosine, pkd",
    "kd_attention_loss": "mse, mse_sum, ce, ce_mean",
    "kd_temperature_schedule": "constant, flsw, cwsm",
}


@pytest.mark.parametrize("name", CHOICES)
def test_values_that_are_no_choice(world, name, capsys):
    """fairseq's parser, hydra, and a configuration made in Python each name the choices."""
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(SystemExit):
        toy.parse(*SS.argv(world[1], "--criterion", "kd_ss", flag, "other"))
    assert f"argument {flag}: invalid choice: 'other' (choose from" in capsys.readouterr().err
    cfg = toy.parse(*SS.argv(world[1], "--criterion", "kd_ss", "--max-tokens", 99)).criterion
    with pytest.raises(omegaconf.errors.ValidationError) as caught:
        omegaconf.OmegaConf.merge(KdSeq2SeqConfig(), {**cfg, name: "other"})
    assert name in str(caught.value) and f"[{CHOICES[name]}]" in str(caught.value)
    with pytest.raises(ValueError) as caught:
        check_config(KdSeq2SeqConfig(**{name: "other"}))
    assert f"{flag} other: expected one of {CHOICES[name]}" in str(caught.value)


def test_no_teacher(world, tmp_path):
    assert "--kd-teacher: expected a checkpoint (or --kd-cache), got none" in error_of(
        SS, world[1], tmp_path
    )


def test_teacher_file_missing(world, tmp_path):
    message = error_of(SS, world[1], tmp_path, "--kd-teacher", "/no/such.pt")
    assert "--kd-teacher /no/such.pt: no such file" in message


def test_teacher_is_not_a_checkpoint(world, tmp_path):
    text, other = tmp_path / "text.pt", tmp_path / "other.pt"
    text.write_text("not a checkpoint\n")
    torch.save({"weights": torch.zeros(3)}, other)
    for path in (text, other):
        message = error_of(SS, world[1], tmp_path / "save", "--kd-teacher", path)
        assert f"--kd-teacher {path}" in message and "fairseq checkpoint" in message


def test_teacher_is_truncated(world, tmp_path):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(world[2].read_bytes()[:5000])
    message = error_of(SS, world[1], tmp_path / "save", "--kd-teacher", cut)
    assert f"--kd-teacher {cut}" in message


def test_teacher_pickle_that_would_run_code_is_refused(world, tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    path = tmp_path / "evil.pt"
    torch.save({"model": {}, "cfg": Evil(), "args": argparse.Namespace()}, path)
    message = error_of(SS, world[1], tmp_path / "save", "--kd-teacher", path)
    assert f"--kd-teacher {path}" in message
    assert not (tmp_path / "ran").exists()


def test_teacher_with_another_vocabulary(tmp_path):
    for words, expected in (
        (toy.WORDS - 3, "symbol 27 is '<mask>' in the teacher's and 'w23' in the student's"),
        (toy.WORDS + 2, "symbol 30 is 'w26' in the teacher's and '<mask>' in the student's"),
    ):
        folder = tmp_path / str(words)
        teacher = save_teacher(SS, folder, SS.data(folder / "teacher_data", words))
        message = error_of(SS, SS.data(folder / "ours"), folder / "s", "--kd-teacher", teacher)
        assert expected in message and "source dictionaries differ" in message


def test_teacher_whose_masked_lm_head_was_never_trained(tmp_path):
    (case,) = (case for case in CASES if case.name == "kd_mlm")
    data = case.data(tmp_path / "ours")
    teacher = save_teacher(case, tmp_path, data)
    untrained = toy.with_untrained_head(teacher, tmp_path / "untrained.pt")
    message = error_of(case, data, tmp_path / "s", "--kd-teacher", untrained)
    assert "got one whose masked-LM head was never trained" in message


def test_dictionaries_of_one_size_but_other_symbols(tmp_path):
    data, teacher_data = SS.data(tmp_path / "ours"), SS.data(tmp_path / "teacher_data")
    for lang in ("sv", "en"):
        path = teacher_data / f"dict.{lang}.txt"
        path.write_text(path.read_text().replace("w7 ", "W7 "))
    teacher = save_teacher(SS, tmp_path, teacher_data)
    message = error_of(SS, data, tmp_path / "s", "--kd-teacher", teacher)
    assert "symbol 11 is 'W7' in the teacher's and 'w7' in the student's" in message


@pytest.mark.slow
def test_vocabulary_sizes_are_compared_when_the_dictionary_is_gone(tmp_path):
    teacher_data = SS.data(tmp_path / "teacher_data", toy.WORDS + 2)
    teacher = save_teacher(SS, tmp_path, teacher_data)
    teacher_data.rename(tmp_path / "moved")
    data = SS.data(tmp_path / "ours")
    message = error_of(SS, data, tmp_path / "s", "--kd-teacher", teacher)
    assert "another vocabulary" in message and "embed_tokens.weight is (33, 16)" in message
    flags = ("--kd-teacher", teacher, "--kd-teacher-data", tmp_path / "moved")
    assert "symbol 30 is 'w26'" in error_of(SS, data, tmp_path / "s", *flags)
    (tmp_path / "empty").mkdir()
    for folder, word in (("nowhere", "no such folder"), ("empty", "are not there")):
        flags = ("--kd-teacher", teacher, "--kd-teacher-data", tmp_path / folder)
        assert word in error_of(SS, data, tmp_path / "s", *flags)


def test_teacher_of_the_wrong_kind(world, tmp_path):
    folder = tmp_path / "mono"
    message = error_of(MSSM, MSSM.data(folder), tmp_path / "s", "--kd-teacher", world[2])
    assert (
        "kd_mssm needs a model of --task masked_seq2seq" in message
        and "TransformerModel" in message
    )


@pytest.mark.parametrize("name", ["kd_mlm", "kd_clm", "kd_lm", "kd_ss"])
def test_teacher_of_another_family(name, tmp_path):
    """Each criterion refuses a teacher that reads the same dictionary but is another model."""
    case = next(c for c in CASES if c.name == name)
    other = next(
        c for c in CASES if c.name == ("kd_clm" if name in ("kd_mlm", "kd_ss") else "kd_mlm")
    )
    data = case.data(tmp_path / "data")
    teacher_data = other.data(tmp_path / "teacher_data")
    teacher = save_teacher(other, tmp_path, teacher_data)
    message = error_of(case, data, tmp_path / "s", "--kd-teacher", teacher)
    assert f"{name} needs" in message and ", got " in message


def test_teacher_without_the_classification_head(tmp_path):
    lu = next(c for c in CASES if c.name == "kd_lu")
    data = lu.data(tmp_path / "data")
    argv = lu.argv(data, *RUN, "--classification-head-name", "polarity", teacher=True)
    cfg = toy.parse(*argv)
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    teacher = toy.save_model(tmp_path / "t.pt", cfg, model)
    message = error_of(lu, data, tmp_path / "s", "--kd-teacher", teacher)
    assert "'sentence_classification_head' of --num-classes 3; got 'polarity' of 3" in message
    flags = ("--classification-head-name", "polarity", "--num-classes", 2)
    message = error_of(lu, data, tmp_path / "s", "--kd-teacher", teacher, *flags)
    assert "'polarity' of --num-classes 2; got 'polarity' of 3" in message


def test_teacher_with_its_classes_in_another_order(tmp_path):
    lu = next(c for c in CASES if c.name == "kd_lu")
    data, teacher_data = lu.data(tmp_path / "data"), lu.data(tmp_path / "teacher_data")
    labels = teacher_data / "label" / "dict.txt"
    labels.write_text("".join(reversed(labels.read_text().splitlines(keepends=True))))
    teacher = save_teacher(lu, tmp_path, teacher_data)
    message = error_of(lu, data, tmp_path / "s", "--kd-teacher", teacher)
    assert "label dictionaries differ: symbol 4 is '2' in the teacher's" in message


def test_teacher_of_an_unknown_architecture(world, tmp_path):
    state = toy.checkpoint(world[2])
    state["cfg"]["model"]._name = state["cfg"]["model"].arch = "transformer_of_tomorrow"
    torch.save(state, tmp_path / "t.pt")
    message = error_of(SS, world[1], tmp_path / "s", "--kd-teacher", tmp_path / "t.pt")
    assert "fairseq cannot build its model 'transformer_of_tomorrow'" in message


def test_teacher_that_takes_shorter_samples(world, tmp_path):
    cfg = toy.parse(*SS.argv(world[1], *RUN, "--max-target-positions", 16, teacher=True))
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    teacher = toy.save_model(tmp_path / "t.pt", cfg, model)
    message = error_of(SS, world[1], tmp_path / "s", "--kd-teacher", teacher)
    assert "takes at most (64, 16) positions" in message and "(64, 64)" in message


def test_student_that_cannot_load_the_pretrained_one(world, tmp_path):
    argv = SS.argv(world[1], *RUN, "--criterion", "kd_ss", "--kd-teacher", world[2])
    flags = ("--save-dir", tmp_path / "s", "--finetune-from-model", world[2])
    with pytest.raises(ValueError) as caught:
        toy.train(*argv, *flags)
    assert "encoder.embed_tokens.weight is (31, 16) in the checkpoint, (31, 8) here" in str(
        caught.value
    )


def test_restore_file_that_does_not_exist(world, tmp_path):
    flags = ("--kd-teacher", world[2], "--restore-file", tmp_path / "nothing.pt")
    assert "--restore-file" in error_of(SS, world[1], tmp_path / "s", *flags)
