"""Translation tasks read parts of a split and mBART's flags."""

import pytest
from fairseq import tasks

import toy


@pytest.mark.slow
def test_parts_of_a_split_are_joined(tmp_path):
    data = toy.write_parallel(tmp_path, count=5)
    for side in ("sv", "en"):
        toy.write_split(data / f"train1.sv-en.{side}", toy.sentences(3, seed=9))
    argv = (data, "--task", "translation", "--arch", "transformer", "--max-tokens", 99)
    for more in ((), ("--upsample-primary", 1)):
        task = tasks.setup_task(toy.parse(*argv, *more).task)
        task.load_dataset("train", combine=True)
        assert len(task.dataset("train")) == 5 + 3
    task = tasks.setup_task(toy.parse(*argv, "--upsample-primary", 2).task)
    task.load_dataset("train", combine=True)
    assert len(task.dataset("train")) == 2 * 5 + 3


def test_mbart_knows_its_arguments_as_others_do(tmp_path):
    """Its `load_dataset` and `build_generator` read them."""
    data = toy.write_parallel(tmp_path)
    flags = (
        "--task",
        "translation_from_pretrained_bart",
        "--langs",
        "sv,en",
        "-s",
        "sv",
        "-t",
        "en",
    )
    cfg = toy.parse(data, *flags, "--arch", "transformer").task
    task = tasks.setup_task(cfg)
    task.load_dataset("train")
    assert task.args.langs == "sv,en" and len(task.dataset("train")) == 37
