"""Launches that would train nothing, or something else, are refused."""

import fairseq_cli.train
import pytest
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils as distributed_utils
from omegaconf import OmegaConf


def launch(world=1, bf16=False):
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.distributed_training.distributed_world_size = world
    cfg.common.cpu, cfg.common.bf16, cfg.common.tpu = True, bf16, bf16
    return cfg


def test_launches_that_would_train_nothing_are_refused(monkeypatch):
    def refused(cfg, words):
        with pytest.raises(ValueError, match=words):
            distributed_utils.call_main(cfg, fairseq_cli.train.main)

    refused(launch(world=2), "--distributed-world-size 2 without a GPU")
    refused(launch(bf16=True), "--bf16")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(launch(), "WORLD_SIZE=2")


def test_commands_that_do_not_train_run_in_any_environment(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(distributed_utils, "infer_init_method", lambda cfg: None)
    calls = []
    distributed_utils.call_main(launch(), calls.append)
    assert len(calls) == 1


def test_an_ordinary_launch_runs_main(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    calls = []
    distributed_utils.call_main(launch(), calls.append)
    assert len(calls) == 1
