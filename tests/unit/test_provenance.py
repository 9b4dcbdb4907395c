"""A training records how it was started."""

import json
import logging
import math
from importlib import metadata

import fairseq
import pytest

import toy
from lightpaff_fairseq.provenance import LOGGER, configuration, log_provenance, provenance, version


def test_command_and_versions(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["/bin/fairseq-train", "data", "--adam-betas", "(0.9, 0.98)"])
    recorded = provenance(toy.parse(tmp_path, "--arch", "transformer"))
    assert recorded["command"] == "fairseq-train data --adam-betas '(0.9, 0.98)'"
    assert {"Python", "torch", "fairseq-fixed"} <= set(recorded["versions"])


def test_a_fairseq_without_metadata_has_its_version(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert version("fairseq-fixed") == fairseq.__version__
    assert version("fastBPE") is None


@pytest.mark.slow
def test_the_configuration_is_what_was_set(tmp_path, caplog):
    flags = ("--criterion", "kd_ss", "--kd-lambda", 0.25, "--kd-teacher", "t.pt")
    flags += ("--label-smoothing", 0.1, "--max-update", 600, "--lr", "0.5,0.25", "--seed", 3)
    cfg = toy.parse(tmp_path, "--arch", "transformer", *flags)
    settings = configuration(cfg)
    expected = {
        "model.arch": "transformer",
        "criterion._name": "kd_ss",
        "criterion.kd_lambda": 0.25,
        "criterion.kd_teacher": "t.pt",
        "criterion.label_smoothing": 0.1,
        "optimization.max_update": 600,
        "optimization.lr": [0.5, 0.25],
        "common.seed": 3,
        "task._name": "translation",
        "task.data": str(tmp_path),
    }
    assert {key: settings.get(key) for key in expected} == expected
    assert "criterion.kd_cache" not in settings, "what is not set is left out"
    cfg.optimization.lr = [math.inf]
    with caplog.at_level(logging.INFO, LOGGER):
        log_provenance(cfg)
    (record,) = [r for r in caplog.records if r.name == LOGGER]
    assert "\n" not in record.getMessage()
    assert json.loads(record.getMessage())["configuration"]["optimization.lr"] == [math.inf]
