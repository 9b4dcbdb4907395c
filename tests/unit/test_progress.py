"""The line of progress: what it says, how often, and where."""

import io
import time

import pytest

from lightpaff_fairseq.progress import ERASE, IN_LOG, ON_TERMINAL, Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (61 * 60, "61 min"), (125 * 60, "2 h 5 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_log_gets_full_lines_now_and_then(clock):
    log = io.StringIO()
    with Progress("evaluate", 1000, "sentences", stream=log) as progress:
        for _ in range(100):  # 0.9 s each
            clock[0] += 0.9
            progress.advance(5, "teacher")
    lines = log.getvalue().splitlines()
    assert len(lines) == 2 and IN_LOG == 30 and not log.getvalue().count(ERASE)
    # after 34 x 0.9 s: 170 of 1000, the other 830 at the same speed take 149 s
    assert lines[0] == (
        "evaluate: 170 of 1,000 sentences (teacher), 5.6 per second, about 2 min left"
    )


def test_a_terminal_has_one_line_which_is_erased_at_the_end(clock):
    terminal = Terminal()
    with Progress("evaluate", 10, "sentences", stream=terminal) as progress:
        for _ in range(4):
            clock[0] += ON_TERMINAL
            progress.advance(1)
    text = terminal.getvalue()
    assert "\n" not in text and text.endswith(ERASE)
    assert [line.split(",")[0] for line in text.split(ERASE)[1:-1]] == [
        f"evaluate: {i} of 10 sentences" for i in range(5)
    ]


def test_the_line_is_erased_when_the_work_fails(clock):
    terminal = Terminal()
    with pytest.raises(RuntimeError), Progress("x", 10, "y", stream=terminal) as progress:
        clock[0] += 1
        progress.advance(1)
        raise RuntimeError
    assert terminal.getvalue().endswith(ERASE)


def test_a_line_fits_the_terminal(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    progress = Progress("evaluate", 10, "sentences", stream=terminal)
    clock[0] += 1
    progress.advance(1)
    assert len(terminal.getvalue().removeprefix(ERASE)) == 19


def test_what_was_finished_earlier_does_not_count_for_the_speed(clock):
    progress = Progress("train", 100, "updates", done=80)
    clock[0] += 10
    progress.update(90)
    assert progress.text().endswith("90 of 100 updates, 1.0 per second, about 10 s left")


def test_no_estimate_without_knowledge(clock):
    unknown, fresh, past = Progress("x", 0, "y"), Progress("x", 10, "y"), Progress("x", 10, "y")
    clock[0] += 5
    unknown.update(3)
    past.update(11)
    assert [p.time_left() for p in (unknown, fresh, past)] == ["", "", ""]
    assert unknown.text() == "x: 3 y, 0.6 per second" and fresh.text() == "x: 0 of 10 y"


def test_shares_are_shown_in_percent(clock):
    progress = Progress("benchmark inference", 8, "")
    clock[0] += 5
    progress.advance(2, "teacher onnx")
    assert progress.text("teacher onnx") == (
        "benchmark inference: 25 % (teacher onnx), about 15 s left"
    )
