"""`lightpaff report` reads logs of every kind and state, and what lies beside them."""

import json
import math

import pytest

from lightpaff_fairseq.provenance import LOGGER, provenance
from lightpaff_fairseq.report.commands import command_of, quoted
from lightpaff_fairseq.report.configuration import parse_configuration, settings, task_of
from lightpaff_fairseq.report.curves import panels, stages, thin
from lightpaff_fairseq.report.lines import measured, said
from lightpaff_fairseq.report.logs import read_log
from lightpaff_fairseq.report.runs import read_runs, stems, titles
from report_files import (
    CONFIGURATION,
    DONE,
    inner,
    line,
    pruning_log,
    recipe,
    start,
    sweep,
    training,
    valid,
    write_log,
)


def read(tmp_path, lines):
    return read_log(write_log(tmp_path / "x.log", lines), "x")


def test_both_formats_and_hydra_say_the_same():
    values = {"loss": 0.714, "kd_loss": 0.5}
    pairs = "loss=0.714, kd_loss=0.5, num_updates=50"
    told = [
        inner(50, **values),
        inner(50, **values).replace("2026-01-02 03:04:05 | ", ""),
        line("train_inner", f"epoch 001:     50 / 267 {pairs}"),
        '[2026-01-02 03:04:05,123][train_inner][INFO] - {"loss": "0.714", "kd_loss": "0.5", '
        '"num_updates": "50"}',
    ]
    for text in told:
        found = measured(said(text))
        assert (found.source, found.update) == ("train_inner", 50), text
        assert {k: found.values[k] for k in values} == values
    epoch = measured(said(line("train", "epoch 002 | loss 0.5 | kd_loss 0.25 | num_updates 99")))
    assert (epoch.source, epoch.update, epoch.values["kd_loss"]) == ("train", 99, 0.25)
    text = "epoch 001 | valid on 'test' subset | loss 0.7 | accuracy 75 | num_updates 267"
    found = measured(said(line("test", text)))
    assert (found.source, found.values["accuracy"]) == ("test", 75.0)
    assert measured(said(line("fairseq.trainer", "begin training epoch 1"))) is None
    assert said("  (encoder): RobertaEncoder(") is None


def test_a_training_that_was_resumed_counts_once_and_the_later_start_wins(tmp_path):
    first = [*start(), *(inner(u, loss=u) for u in (50, 100, 150, 200)), valid(120, loss=1)]
    again = [*start(), *(inner(u, loss=1000 + u) for u in (150, 200, 250)), DONE]
    log = read(tmp_path, [*first, *again])
    assert log.curves["train_inner", "loss"] == {
        50: 50,
        100: 100,
        150: 1150,
        200: 1200,
        250: 1250,
    }
    assert log.curves["valid", "loss"] == {120: 1}
    assert log.starts == 2 and log.is_finished and log.parameters == 1234

    shorter = read(tmp_path, [*first, *start(), inner(50, loss=7)])
    assert shorter.curves["train_inner", "loss"] == {50: 7}, "started anew: the rest is of before"
    assert ("valid", "loss") not in shorter.curves and not shorter.is_finished

    idle = read(tmp_path, [*first, *start()])
    assert idle.last_update == 200, "a start that has not logged anything takes nothing away"


def test_lines_that_are_cut_off_are_left_out_and_said_so(tmp_path):
    whole = inner(100, loss=2)
    log = read(tmp_path, [*start(), inner(50, loss=3), whole[: len(whole) // 2]])
    assert log.curves["train_inner", "loss"] == {50: 3}
    assert log.problems == ["line 4 is cut off and is left out"]
    mixed = read(tmp_path, [*start(), whole[:-5], inner(150, loss=1)])
    assert mixed.problems == ["line 3 cannot be read and is left out"]
    assert mixed.curves["train_inner", "loss"] == {150: 1}


def test_what_is_not_a_number_stays_a_gap_and_is_told(tmp_path):
    log = read(tmp_path, [*start(), *(inner(u, loss=v) for u, v in ((1, 2), (2, "nan"), (3, 4)))])
    curve = log.curves["train_inner", "loss"]
    assert curve[1] == 2 and math.isnan(curve[2]) and curve[3] == 4
    assert "not a finite number at 1 of 3 points, first at update 2" in log.problems[0]
    assert read(tmp_path, [inner(1, loss="inf")]).problems


def test_an_epoch_serves_where_no_interval_was_logged(tmp_path):
    text = json.dumps({"epoch": 1, "train_loss": "0.5", "train_num_updates": "10"})
    log = read(tmp_path, [line("train", text)])
    assert log.training_curve("loss") == {10: 0.5}
    both = read(tmp_path, [inner(5, loss=1), line("train", text)])
    assert both.training_curve("loss") == {5: 1.0}


def test_configuration_as_fairseq_prints_it():
    found = parse_configuration(CONFIGURATION % "prunable_masked_lm")
    assert found["model"]["stop_min_lr"] == -1.0 and found["model"]["x"] == math.inf
    assert found["task"]["shorten_method"] == "truncate", "a choice is printed without quotes"
    assert task_of(found) == "masked_lm", "a prunable task's curves are those of the task"
    shown = settings(found)
    assert shown["criterion.kd_lambda"] == 0.5 and shown["optimization.lr"] == [0.0005]
    assert parse_configuration("{'a': ") == {} and parse_configuration("[1]") == {}
    assert parse_configuration("{'a': __import__('os').getcwd()}") == {"a": {}}, "nothing is run"


def test_quotes_that_a_recipe_lost_are_put_back():
    words = 'data --adam-betas (0.9, 0.98) --eval-bleu-args {"beam": 5} --lr 1e-3'.split()
    assert quoted(words) == [
        *("data", "--adam-betas", "'(0.9, 0.98)'", "--eval-bleu-args", "'{\"beam\": 5}'"),
        *("--lr", "1e-3"),
    ]


def test_a_command_comes_from_the_log_or_the_flags_or_is_said_to_be_unknown(tmp_path):
    (flags := tmp_path / "flags").write_text("m OUT/data --lr 1\n")
    from_log = command_of({"command": "fairseq-train data --lr 1"}, flags, "m")
    assert from_log.text == "fairseq-train data --lr 1" and "in the log" in from_log.source
    from_flags = command_of({"command": "sweep.py --out x"}, flags, "m")
    assert from_flags.text == "fairseq-train OUT/data --lr 1"
    unknown = command_of({}, tmp_path / "none", "m")
    assert unknown.text is None and "not recorded" in unknown.source


def test_provenance_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/fairseq-train", "data", "--adam-betas", "(0.9, 0.98)"])
    log = read(tmp_path, [*start(), line(LOGGER, json.dumps(provenance())), inner(1, loss=1)])
    assert log.provenance["command"] == "fairseq-train data --adam-betas '(0.9, 0.98)'"
    assert {"Python", "torch", "fairseq-fixed"} <= set(log.provenance["versions"])


@pytest.mark.parametrize("count", [1, 399, 400, 401, 5000])
def test_thinned_curves_keep_ends_extremes_and_gaps(count):
    curve = {u: math.sin(u) * u for u in range(count)}
    curve |= {count // 2: 1e6, count // 3: -1e6, count // 4: math.nan} if count > 100 else {}
    found = thin(curve)
    assert len(found) <= 2 * 400 and list(found) == sorted(found)
    finite = [v for v in curve.values() if math.isfinite(v)]
    kept = [v for v in found.values() if math.isfinite(v)]
    assert (min(kept), max(kept)) == (min(finite), max(finite))
    assert {0, count - 1} <= set(found) and (count <= 100 or math.isnan(found[count // 4]))
    assert all(str(found[u]) == str(curve[u]) for u in found), "points are taken, none is made"


def test_panels_hold_every_metric_and_stages_do_not_mix(tmp_path):
    (run,) = read_runs([recipe(tmp_path / "polarity")])
    by_task = stages(run.logs)
    assert set(by_task) == {"sentence_prediction", "masked_lm"}
    assert by_task["masked_lm"] == ["teacher_pretrained"]
    logs = {name: run.logs[name] for name in by_task["sentence_prediction"]}
    found = {(p.source, p.metric): p.curves for p in panels(logs)}
    assert list(found)[:2] == [("valid", "loss"), ("valid", "accuracy")]
    assert set(found["training", "kd_loss"]) == {"student_plain_kd", "student_kd_kd"}
    assert len(found["training", "nll_loss"]) == 5
    assert not [metric for _, metric in found if metric in ("wps", "lr", "num_updates")]


def test_sparsity_of_pruned_runs(tmp_path):
    log = read_log(pruning_log(tmp_path / "pruned.log"), "pruned")
    assert log.pruned_at == 400 and log.training_curve("prune_sparsity")[600] == 0.8
    assert "prune_sparsity" in [panel.metric for panel in panels({"pruned": log})]


def test_a_folder_is_read_as_a_recipe_leaves_it(tmp_path):
    folder = recipe(tmp_path / "polarity")
    sweep(folder / "sweep")
    run, swept = read_runs([folder])
    assert list(run.labels().items())[:2] == [
        ("teacher", "teacher"),
        ("student_plain_plain", "no KD"),
    ]
    assert len(run.rows) == 5 and len(run.logs) == 6 and "prepare" not in run.logs
    assert run.commands["student_kd_kd"].text.endswith("--adam-betas '(0.9, 0.98)' --seed 4")
    assert swept.title == "polarity/sweep" and len(swept.sweep.rows) == 8
    assert set(swept.sweep.panels()) == {"knowledge", "soft"}
    assert [s.mean for s in swept.sweep.panels()["soft"]] == [70.6875, 72.6875]


def test_rows_are_matched_to_logs_and_never_mixed_up():
    def rows(*paths):
        return [{"name": f"row {i}", "path": path} for i, path in enumerate(paths)]

    assert stems(rows("OUT/a.pt", "OUT/b/checkpoint_best.pt")) == ["a", "b"]
    assert stems(rows("x/checkpoint_best.pt", "x/checkpoint_last.pt")) == ["row 0", "row 1"]
    assert stems([{"name": "alone"}]) == ["alone"]


def test_a_sweep_with_holes_is_refused(tmp_path):
    path = sweep(tmp_path / "sweep") / "results.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[2])
    del row["soft"], row["valid_accuracy"]
    path.write_text("\n".join([*lines[:2], json.dumps(row), *lines[3:]]))
    with pytest.raises(ValueError, match="line 3: there is no soft, a result in accuracy"):
        read_runs([tmp_path / "sweep"])


def test_runs_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c" / "other.log"]
    assert list(titles(paths).values()) == ["a/run", "b/run", "other"]
    logs = [write_log(tmp_path / name / "train.log", training(True)) for name in ("a", "b")]
    (run,) = read_runs(logs)
    assert list(run.logs) == ["a/train", "b/train"], "single logs are compared with each other"
