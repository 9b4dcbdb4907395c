"""What the log shows while training: the labels' perplexity, not that of the mixed loss."""

import math

import pytest
from fairseq.logging import metrics

import toy
from cases import CASES


@pytest.mark.parametrize("average", [(), ("--sentence-avg",)], ids=["tokens", "sentences"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_shown_metrics(settings, case, average):
    setting = settings(case)
    flags = average if case.name not in ("kd_mlm", "kd_lu") else ()
    criterion = setting.criterion("--kd-lambda", 0.9, "--kd-embedding-weight", 0.1, *flags)
    logs = [setting.run(criterion, toy.batch(setting.task, i))[2] for i in (range(5), range(5, 9))]
    with metrics.aggregate(new_root=True) as shown:
        type(criterion).reduce_metrics(logs)
    shown = shown.get_smoothed_values()

    def total(name):
        return sum(float(log[name]) for log in logs)

    positions = total("kd_positions")
    for name in ("kd_loss", case.nll):
        expected = total(name) / positions / math.log(2)
        assert float(shown[name]) == pytest.approx(expected, abs=1e-3), name
    assert float(shown["kd_embedding"]) == pytest.approx(
        total("kd_embedding") / positions, abs=1e-4
    )
    mixed = total("loss") / total("sample_size") / math.log(2)
    assert float(shown["loss"]) == pytest.approx(mixed, abs=1e-3)
    if case.name != "kd_lu":
        label_bits = total("nll_loss") / positions / math.log(2)
        assert float(shown["ppl"]) == pytest.approx(2**label_bits, rel=1e-3)
