"""Flags made from a checkpoint give fairseq-train the same task."""

import pytest

import toy
from lightpaff_fairseq.distill.section_flags import task_flags

CASES = {
    "translation": (
        "--source-lang",
        "sv",
        "--target-lang",
        "en",
        "--left-pad-source",
        "--truncate-source",
    ),
    "language_modeling": ("--tokens-per-sample", "20", "--sample-break-mode", "eos"),
    "sentence_prediction": ("--num-classes", "3", "--init-token", "0", "--separator-token", "2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(CASES))
def test_a_task_comes_back_from_its_flags(task, tmp_path):
    arch = ("--arch", "transformer_lm_gpt2_micro" if task == "language_modeling" else "transformer")
    criterion = "sentence_prediction" if task == "sentence_prediction" else "cross_entropy"
    words = (tmp_path, *arch, "--criterion", criterion, "--task", task)
    first = toy.parse(*words, *CASES[task])
    second = toy.parse(*words, *task_flags(task, first.task))
    assert first.task == second.task
    assert task_flags(task, second.task) == task_flags(task, first.task)


def test_nothing_for_a_task_with_default_values(tmp_path):
    words = (tmp_path, "--arch", "transformer", "--criterion", "cross_entropy")
    cfg = toy.parse(*words, "--task", "translation")
    assert task_flags("translation", cfg.task) == []
