"""Launches that would train nothing, or something else, are refused."""

from argparse import Namespace

import fairseq_cli.train
import pytest
from fairseq import tasks
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils as distributed_utils
from omegaconf import OmegaConf

import toy
from lightpaff_fairseq.launch_checks import (
    _folder_problems,
    _heads_problems,
    check_validation_sizes,
)


def launch(world=1):
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.model = None
    cfg.distributed_training.distributed_world_size = world
    cfg.common.cpu = True
    return cfg


@pytest.fixture
def refused(capsys):
    """Launch; check that the last line of the error holds some words, and return it."""

    def launch_and_fail(cfg, words):
        with pytest.raises(SystemExit) as stop:
            distributed_utils.call_main(cfg, fairseq_cli.train.main)
        line = capsys.readouterr().err.splitlines()[-1]
        assert stop.value.code == 2 and words in line
        return line

    return launch_and_fail


def test_pairs_for_validation_that_are_too_long_stop_the_run_before_it_starts(tmp_path):
    """fairseq raises after the first epoch; those of training it skips, and counts in the log."""
    data = toy.write_labeled(tmp_path)
    for split in ("train", "valid"):
        toy.write_dictionary(data / "input1" / "dict.txt")
        long = [[5] * 38 + [2] if i == 1 else [6, 2] for i in range(37)]
        toy.write_split(data / "input1" / split, long)
    argv = [data, "--task", "sentence_prediction", "--num-classes", 3, "--init-token", 0]
    argv += ["--max-positions", 32, "--criterion", "sentence_prediction", "--arch", "roberta_tiny"]
    cfg = toy.parse(*argv, "--encoder-layers", 1, "--encoder-embed-dim", 8)
    task = tasks.setup_task(cfg.task)
    task.load_dataset("valid")
    model = Namespace(max_positions=lambda: 32)
    with pytest.raises(ValueError, match=r"--valid-subset valid: .* 32 tokens, got 1 longer \("):
        check_validation_sizes(cfg, task, model)
    model = Namespace(max_positions=lambda: 64)
    task.cfg.max_positions = 64
    check_validation_sizes(cfg, task, model)
    task.cfg.max_positions = 32
    cfg.dataset.skip_invalid_size_inputs_valid_test = True
    check_validation_sizes(cfg, task, model)


def test_launches_that_would_train_nothing_are_refused(monkeypatch, refused):
    refused(launch(world=2), "--distributed-world-size 2 without a GPU")
    half = launch()
    half.common.fp16 = True
    refused(half, "--fp16: expected a GPU; on a CPU give --bf16")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(launch(), "WORLD_SIZE=2")


def test_files_in_the_place_of_folders_are_refused(monkeypatch, tmp_path, refused):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    (file := tmp_path / "file").write_text("x")
    (loop := tmp_path / "loop").symlink_to(loop)
    cfg = launch()
    cfg.task = {"_name": "translation", "data": f"{tmp_path}:{file}"}
    cfg.checkpoint.save_dir = str(file / "run")
    assert refused(cfg, "error: ").endswith(
        f"error: DATA {file}: expected a folder of binarized data, got a file; "
        f"DATA {tmp_path}: expected files train.*, got none; "
        f"--save-dir {file / 'run'}: expected a folder, got a file: {file}"
    )
    cfg.task.data, cfg.checkpoint.save_dir = str(tmp_path / "no"), str(tmp_path)
    line = refused(cfg, f"DATA {tmp_path / 'no'}: ")
    assert line.endswith(", got none")
    cfg.task.data, cfg.checkpoint.save_dir = str(tmp_path), str(loop)
    refused(cfg, f"--save-dir {loop}: expected a folder, got a link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


def test_folders_that_are_made_by_fairseq_are_no_problem(tmp_path):
    cfg = launch()
    cfg.task = {"_name": "translation", "data": str(tmp_path)}
    cfg.checkpoint.save_dir = str(tmp_path / "a" / "b")
    assert not list(_folder_problems(cfg))
    cfg.task = None
    assert not list(_folder_problems(cfg))


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


@pytest.mark.parametrize(
    "arch,side",
    [("transformer", "decoder"), ("transformer_mass_6_2x256", "encoder"), ("roberta", "encoder")],
)
def test_heads_that_do_not_divide_the_width_are_refused(arch, side):
    model = Namespace(arch=arch, encoder_embed_dim=256, encoder_attention_heads=4)
    model.decoder_embed_dim, model.decoder_attention_heads = 256, 4
    assert not list(_heads_problems(model))
    setattr(model, f"{side}_attention_heads", 6)
    problem = f"--{side}-attention-heads 6: expected a divisor of --{side}-embed-dim 256"
    assert list(_heads_problems(model)) == [problem]
