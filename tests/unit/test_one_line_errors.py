"""fairseq's commands end with one line where the plug-in refuses its input."""

import pytest

from lightpaff_fairseq.one_line_errors import one_line_errors
from lightpaff_fairseq.problems import Problems, as_value_error


def test_an_own_error_is_one_line_and_a_bad_input(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/some/bin/fairseq-train"])
    with pytest.raises(SystemExit) as stop, one_line_errors():
        print("the log")
        Problems(["--kd-a 1: expected 2", "--kd-b:\n nothing"]).raise_if_any()
    assert stop.value.code == 2
    assert capsys.readouterr() == (
        "the log\n", "fairseq-train: error: --kd-a 1: expected 2; --kd-b: nothing\n"
    )  # fmt: skip


def test_an_error_of_a_library_that_was_explained_is_one_line():
    with pytest.raises(SystemExit), one_line_errors(), as_value_error("--kd-a x"):
        int("x")


@pytest.mark.parametrize("error", [ValueError("foreign"), RuntimeError("out of memory")])
def test_foreign_errors_pass(error, capsys):
    with pytest.raises(type(error)), one_line_errors():
        raise error
    assert capsys.readouterr() == ("", "")


def test_the_traceback_is_there_for_those_who_look_for_it(caplog):
    with (
        caplog.at_level("DEBUG", "lightpaff_fairseq.one_line_errors"),
        pytest.raises(SystemExit),
        one_line_errors(),
    ):
        Problems(["--kd-a 1: expected 2"]).raise_if_any()
    assert "raise_if_any" in caplog.text
