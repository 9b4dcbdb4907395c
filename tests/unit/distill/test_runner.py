"""The runner: steps run once, in order, side by side, and leave nothing running."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lightpaff_fairseq.distill.plan import Plan
from lightpaff_fairseq.distill.runner import Runner, only_process
from lightpaff_fairseq.distill.steps import Step


def step(name, code, output=None, is_whole=True):
    return Step(name, f"run {name}", (sys.executable, "-c", code), output or name, 0.0, is_whole)


def append(out, word, then=""):
    """Code that notes in a file that it ran."""
    note = f"open({str(out / 'notes')!r}, 'a').write({word!r} + chr(10)); {then}"
    return f"{note}\nopen({str(out / word)!r}, 'w')"  # the output of a step has its name


def notes(out):
    path = out / "notes"
    return path.read_text().split() if path.exists() else []


def run(out, *stages):
    with only_process(out) as lock:
        count = sum(len(lane) for lanes in stages for lane in lanes)
        Runner(out, count, lock).run(Plan((), stages))


def test_steps_run_in_order_and_once(tmp_path, capsys):
    steps = tuple(step(x, append(tmp_path, x)) for x in "abc")
    run(tmp_path, (steps[:2],), (steps[2:],))
    assert notes(tmp_path) == ["a", "b", "c"]
    run(tmp_path, (steps[:2],), (steps[2:],))
    assert notes(tmp_path) == ["a", "b", "c"]
    assert capsys.readouterr().out.count("finished before, reused") == 3
    seconds = json.loads((tmp_path / "steps" / "a.json").read_text())["seconds"]
    assert seconds > 0


def test_an_output_that_appears_in_one_step_is_complete(tmp_path):
    (tmp_path / "whole").write_text("")
    (tmp_path / "growing").mkdir()
    first = step("first", append(tmp_path, "first"), "whole")
    second = step("second", append(tmp_path, "second"), "growing", is_whole=False)
    run(tmp_path, ((first, second),))
    assert notes(tmp_path) == ["second"]


def test_an_output_that_was_removed_is_made_again(tmp_path):
    steps = (step("a", append(tmp_path, "a")), step("b", append(tmp_path, "b")))
    run(tmp_path, (steps,))
    (tmp_path / "a").unlink()
    run(tmp_path, (steps,))
    assert notes(tmp_path) == ["a", "b", "a"]


def test_a_step_that_fails_shows_its_end_and_how_to_repeat_it(tmp_path):
    bad = step("bad", append(tmp_path, "bad", "print('the reason'); raise SystemExit(3)"))
    later = step("later", append(tmp_path, "later"))
    with pytest.raises(ValueError, match="the step bad failed with exit code 3") as error:
        run(tmp_path, ((bad, later),))
    assert "the reason" in str(error.value)
    assert "To repeat it alone:" in str(error.value)
    assert "the reason" in (tmp_path / "logs" / "bad.log").read_text()
    assert notes(tmp_path) == ["bad"]
    good = step("bad", append(tmp_path, "good"))
    run(tmp_path, ((good, later),))
    assert notes(tmp_path) == ["bad", "good", "later"]


def test_lanes_run_side_by_side(tmp_path):
    """Each lane waits for what the other makes: one after the other they would not end."""
    wait = "import os, time\nwhile not os.path.exists({0!r}): time.sleep(0.01)\nopen({1!r}, 'w')"
    a, b = (str(tmp_path / x) for x in "ab")
    one = step("one", f"open({a!r}, 'w')\n" + wait.format(b, str(tmp_path / "one")))
    two = step("two", f"open({b!r}, 'w')\n" + wait.format(a, str(tmp_path / "two")))
    run(tmp_path, ((one,), (two,)))
    assert (tmp_path / "one").exists() and (tmp_path / "two").exists()


def test_a_lane_that_fails_ends_the_other(tmp_path):
    code = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    endless = step("endless", code.format(str(tmp_path / "pid")))
    wait = f"import os, time\nwhile not os.path.exists({str(tmp_path / 'pid')!r}): time.sleep(0.01)"
    bad = step("bad", wait + "\nraise SystemExit(1)")
    with pytest.raises(ValueError, match="the step bad failed"):
        run(tmp_path, ((endless,), (bad,)))
    pid = int((tmp_path / "pid").read_text() or 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not (tmp_path / "steps" / "endless.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both_lanes(tmp_path, number):
    code = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    lanes = tuple((step(x, code.format(str(tmp_path / f"pid_{x}"))),) for x in "ab")
    pids = [tmp_path / f"pid_{x}" for x in "ab"]

    def interrupt():
        while not all(x.exists() and x.read_text() for x in pids):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    expected = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background
    try:
        with pytest.raises(expected):
            run(tmp_path, lanes)
    finally:
        signal.signal(signal.SIGINT, before)
    for path in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


@pytest.mark.slow
def test_a_step_that_outlives_a_killed_run_keeps_the_folder(tmp_path):
    """`kill -9` cannot be caught: the step goes on, and a second run must not start another."""
    sleep = f"import time; open({str(tmp_path / 'began')!r}, 'w'); time.sleep(600)"
    code = (
        "import sys; from pathlib import Path\n"
        "from lightpaff_fairseq.distill.plan import Plan\n"
        "from lightpaff_fairseq.distill.runner import Runner\n"
        "from lightpaff_fairseq.distill.steps import Step\n"
        f"step = Step('long', '', (sys.executable, '-c', {sleep!r}), 'long')\n"
        "from lightpaff_fairseq.distill.runner import only_process\n"
        f"with only_process(Path({str(tmp_path)!r})) as lock:\n"
        f"    Runner(Path({str(tmp_path)!r}), 1, lock).run(Plan((), (((step,),),)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "began").exists():
        time.sleep(0.05)
        assert process.poll() is None
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    with pytest.raises(ValueError, match="another process works in this folder"):
        run(tmp_path, ((step("next", "1"),),))
    os.kill(int(child), signal.SIGKILL)
    for _ in range(200):
        try:
            run(tmp_path, ((step("next", "1"),),))
            break
        except ValueError:
            time.sleep(0.05)
    assert (tmp_path / "steps" / "next.json").exists()


@pytest.mark.slow
def test_one_process_at_a_time(tmp_path):
    with only_process(tmp_path):
        code = (
            "import sys; from pathlib import Path; "
            "from lightpaff_fairseq.distill.runner import only_process\n"
            f"with only_process(Path({str(tmp_path)!r})): pass"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another process works in this folder" in done.stderr
    with only_process(tmp_path):
        pass
