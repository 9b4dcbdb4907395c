"""Results and logs with impossible values end in a page or in one line, never in a traceback."""

import itertools
import json
from xml.etree import ElementTree

import pytest

from lightpaff_fairseq.report.results import read_runs
from lightpaff_fairseq.report.summary import summarize_sweep
from lightpaff_fairseq.report.tables import sweep_table
from report_files import (
    SVG,
    inner,
    line,
    provenance,
    pruning_log,
    report,
    start,
    sweep,
    training,
    write_log,
)

HUGE = "9" * 5000  # digits, more than Python converts
VALUES = ("1e999", "-1e999", "NaN", HUGE, "-" + "9" * 400, "1e308", "5e-324", "0", "-1", '"x"')
VALUES += ("null", "[]", "[1e999, 1]", "{}", "true", '"$x_1$ $"', "[" * 40 + "]" * 40)


def page(tmp_path, capsys, *argv):
    """The page, or the one line of an error."""
    code, errors = report(capsys, *argv, "--out", tmp_path / "o.html", "--force")
    assert code in (0, 2) and "Traceback" not in errors
    assert code == 0 or errors.count("\n") == 1, errors
    return (tmp_path / "o.html").read_text() if code == 0 else errors


def read(folder):
    """Read a folder, and compute what the page shows of its sweep."""
    try:
        (run,) = read_runs([folder])
    except ValueError as error:
        assert str(folder) in str(error)
    else:
        summarize_sweep(run.sweep)
        sweep_table(run.sweep)


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=[v[:12] for v in VALUES])
def test_any_value_in_results(value, tmp_path, capsys):
    keys = ("params", "size_mb", "times_smaller", "times_faster", "sentences", "path")
    keys += ("sentences_per_s", "sentences_per_s_runs")
    for more in ((), ("accuracy",)):
        changed = {"name": "b", "accuracy": 80.0} | dict.fromkeys((*keys, *more), "zzz")
        whole = {"params": 10, "accuracy": 80.0, "sentences_per_s": 5.0, "sentences": 9}
        rows = [whole | {"name": "teacher"}, changed, whole | {"name": "c"}]
        (path := tmp_path / "r.json").write_text(json.dumps(rows).replace('"zzz"', value))
        assert "teacher" in page(tmp_path, capsys, path)


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=[v[:12] for v in VALUES])
def test_any_value_in_a_sweep(value, tmp_path, capsys):
    folder = sweep(tmp_path / "sweep")
    for name, keys in (
        ("results.jsonl", ("seed", "valid_accuracy", "soft", "parameters", "flags")),
        ("base.json", ("soft",)),
        ("teacher.json", ("valid_accuracy",)),
    ):
        text = (folder / name).read_text()
        first, *rest = text.splitlines()
        for key in keys:
            changed = json.dumps({**json.loads(first), key: "zzz"}).replace('"zzz"', value)
            (folder / name).write_text("\n".join([changed, *rest]))
            if VALUES.index(value) % 3 == 0:  # a page takes a second
                page(tmp_path, capsys, folder)
            else:
                read(folder)
        (folder / name).write_text(text)


@pytest.mark.parametrize("value", VALUES, ids=[v[:12] for v in VALUES])
def test_any_value_in_a_log(value, tmp_path):
    entries = json.dumps({"loss": "zzz", "num_updates": "20"}).replace('"zzz"', value)
    updates = json.dumps({"loss": "1", "num_updates": "zzz"}).replace('"zzz"', value)
    recorded = [
        provenance(**{key: "zzz"}).replace('"zzz"', value)
        for key in ("configuration", "versions", "command", "machine")
    ]
    lines = [*start(), inner(10, loss=2.0), line("train_inner", entries)]
    lines += [line("train_inner", updates), *recorded, inner(30, loss=1.5)]
    (run,) = read_runs([write_log(tmp_path / "x.log", lines)])
    (log,) = run.logs.values()
    assert log.curves["training"]["loss"][30] == 1.5
    assert isinstance(log.configuration, dict) and 30 <= log.last_update <= 2**53


def test_deep_nesting_in_every_file_that_is_read(tmp_path, capsys):
    deep = "[" * 100_000
    folder = sweep(tmp_path / "sweep")
    for name in ("results.jsonl", "base.json", "teacher.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(deep)
        assert f"{folder / name}: " in (error := page(tmp_path, capsys, folder))
        assert "nested deeper" in error
        (folder / name).write_text(text)
    (path := tmp_path / "r.json").write_text(deep)
    assert f"{path}: nested deeper" in page(tmp_path, capsys, path)
    log = write_log(tmp_path / "x.log", [*training(True), line("train_inner", '{"a":' * 100_000)])
    (run,) = read_runs([log])
    assert "is cut off" in run.logs["x"].problems[-1]


@pytest.mark.slow
def test_dollar_signs_ids_and_colors_in_names_are_text(tmp_path, capsys):
    names = ["$x_1$ #0072b2", 'a $\\frac{1}$ id="b" url(#c)', "$\x1b\x00$"]
    logs = [pruning_log(tmp_path / f"{i}.log") for i in range(3)]
    folder = tmp_path / "run"
    (folder / "logs").mkdir(parents=True)
    for name, log in zip(("$x_1$ #0072b2", "$ $$", "_$a^$"), logs, strict=True):
        log.rename(folder / "logs" / f"{name}.log")
    svg = tmp_path / "x.svg"
    code, errors = report(capsys, folder, "--plot", "kl_sparsity", "--svg", svg)
    assert code == 0, errors
    words = [node.text for node in ElementTree.parse(svg).getroot().iter(f"{SVG}text")]
    assert {"$x_1$ #0072b2", "$ $$", "_$a^$"} <= set(words)
    rows = [{"name": name, "params": 10 + i, "bleu": 20.0} for i, name in enumerate(names)]
    (folder / "results.json").write_text(json.dumps(rows))
    swept = sweep(folder / "sweep")
    for name, i in itertools.product(("results.jsonl", "base.json"), range(2)):
        text = (swept / name).read_text()
        (swept / name).write_text(text.replace(("soft", "knowledge")[i], ("$a_$", "$")[i]))
    text = page(tmp_path, capsys, folder)
    assert ">$a_$<" in text and "$x_1$ #0072b2" in text
