"""What fairseq's --post-process takes, asked of fairseq itself."""

import pytest

from lightpaff_fairseq.benchmark.inference_settings import (
    InferenceSettings,
    RandomModels,
    TrainedModels,
    check_models,
)
from lightpaff_fairseq.evaluation.evaluation_request import EvaluationRequest, check_request
from lightpaff_fairseq.export.export_request import ExportRequest, load_checked
from lightpaff_fairseq.fairseq_flags import POST_PROCESS, post_process_problem, words_problems


def test_every_value_in_the_message_is_one_that_fairseq_has():
    names = POST_PROCESS.replace(" or none", ", none").split(", ")
    assert len(names) == 8
    for name in [None, *(name.strip("'") for name in names)]:
        assert post_process_problem("--remove-bpe", name) is None
    for name in ("senptencepiece", "@", "None"):
        problem = post_process_problem("--remove-bpe", name)
        assert problem == f"--remove-bpe {name}: expected {POST_PROCESS}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--remove-bpe x", ["--remove-bpe x"]),
        ("--post-process=x --beam 0", ["--post-process x", "--beam 0"]),
        ("--remove-bpe --beam 5", []),
        ("--beam 5 --remove-bpe", []),
        ("--post-process sentencepiece", []),
    ],
)
def test_words_of_a_command_line(words, expected):
    problems = list(words_problems(words.split()))
    assert [problem.partition(":")[0] for problem in problems] == expected


def test_every_command_refuses_an_unknown_one_before_any_work(tmp_path):
    none = tmp_path / "none.pt"
    checks = [
        lambda: load_checked(ExportRequest(none, "ctranslate2", tmp_path / "o", remove_bpe="x")),
        lambda: check_request(EvaluationRequest(tmp_path, [none], remove_bpe="x")),
        lambda: check_models(InferenceSettings(remove_bpe="x"), TrainedModels(), RandomModels()),
    ]
    for check in checks:
        with pytest.raises(ValueError, match="--remove-bpe x: expected sentencepiece, "):
            check()
