"""A criterion that does not fit the task or the model is refused in one sentence, early."""

import pytest
from fairseq import tasks
from omegaconf import OmegaConf

import toy
from cases import CASES
from lightpaff_fairseq.criterions.sentence_prediction import KdSentencePredictionConfig

NAMES = [case.name for case in CASES]
LANGUAGE_MODELS = {"kd_clm", "kd_lm"}


def fits(criterion, case):
    """kd_ss also runs a MASS model: both are encoder-decoders."""
    same = {criterion, case} <= LANGUAGE_MODELS or criterion == case
    return same or (criterion, case) == ("kd_ss", "kd_mssm")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_criterion_with_every_task(case, tmp_path):
    data = case.data(tmp_path / "data")
    refused = []
    for name in NAMES:
        argv = case.argv(data, "--criterion", name, "--kd-teacher", tmp_path / "no.pt")
        with pytest.raises(ValueError) as caught:
            cfg = toy.parse(*argv, "--max-tokens", 100)
            task = tasks.setup_task(cfg.task)
            criterion = task.build_criterion(cfg.criterion)
            criterion.before_training(task.build_model(cfg.model), lambda: 0)
        message = str(caught.value)
        if fits(name, case.name):
            assert message.startswith(f"--kd-teacher {tmp_path / 'no.pt'}: no such file"), message
            continue
        refused.append(name)
        assert message.startswith(f"--criterion {name}: expected "), message
        assert "\n" not in message
        if name == "kd_lu":
            assert "expected --task sentence_prediction, got " in message
    assert len(NAMES) == 6 and 3 <= len(refused) <= 5


def test_classes_are_needed_for_kd_lu_however_it_is_built(tmp_path):
    case = next(case for case in CASES if case.name == "kd_ss")
    cfg = toy.parse(*case.argv(case.data(tmp_path)), "--max-tokens", 100)
    task = tasks.setup_task(cfg.task)
    cfg.criterion = OmegaConf.structured(KdSentencePredictionConfig(_name="kd_lu"))
    with pytest.raises(ValueError, match="--task sentence_prediction, got TranslationTask"):
        task.build_criterion(cfg.criterion)


def test_a_criterion_without_weights_is_the_stock_one(tmp_path):
    """It may be used with whatever the stock criterion is used with."""
    case = next(case for case in CASES if case.name == "kd_lm")
    flags = ("--kd-lambda", 0, "--kd-teacher", "no.pt", "--criterion", "kd_ss")
    _, model, criterion = toy.build(*case.argv(case.data(tmp_path / "data"), *flags))
    criterion.before_training(model, lambda: 0)
