"""Curves are compared where they can be."""

from lightpaff_fairseq.report.curves import panels, stages
from lightpaff_fairseq.report.log import read_log
from lightpaff_fairseq.report.results import read_runs
from report_files import pruning_log, recipe


def test_panels_hold_every_metric_and_stages_do_not_mix(tmp_path):
    (run,) = read_runs([recipe(tmp_path / "polarity")])
    by_task = stages(run.logs)
    assert set(by_task) == {"sentence_prediction", "masked_lm"}
    assert by_task["masked_lm"] == ["teacher_pretrained"]
    logs = {name: run.logs[name] for name in by_task["sentence_prediction"]}
    curves = {(p.source, p.metric): p.curves for p in panels(logs)}
    assert list(curves)[:2] == [("valid", "loss"), ("valid", "accuracy")]
    assert set(curves["training", "kd_loss"]) == {"student_plain_kd", "student_kd_kd"}
    assert len(curves["training", "nll_loss"]) == 5
    assert not [metric for _, metric in curves if metric in ("wps", "lr", "num_updates")]


def test_sparsity_of_pruned_runs(tmp_path):
    log = read_log(pruning_log(tmp_path / "pruned.log"))
    assert log.pruned_at == 400 and log.curves["training"]["prune_sparsity"][600] == 0.8
    assert "prune_sparsity" in [panel.metric for panel in panels({"pruned": log})]
