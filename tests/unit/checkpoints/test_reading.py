"""Checkpoints without checksums: a flipped bit in the configuration is no traceback."""

import random

import pytest
import torch
from fairseq import tasks

import toy
from cases import CASES
from lightpaff_fairseq.checkpoints.reading import read_checkpoint
from lightpaff_fairseq.checkpoints.strip import stripped_state
from lightpaff_fairseq.export.loaded_model import inspect_checkpoint, load_model
from lightpaff_fairseq.teachers.loading import load_teacher

TRIED = 60


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    """A checkpoint as PyTorch 1.5 wrote it, its task and its data."""
    folder = tmp_path_factory.mktemp("legacy")
    case = next(case for case in CASES if case.name == "kd_ss")
    cfg = toy.parse(*case.argv(case.data(folder / "data")), "--max-tokens", 100)
    task = tasks.setup_task(cfg.task)
    path = toy.save_model(folder / "model.pt", cfg, task.build_model(cfg.model))
    torch.save(toy.checkpoint(path), path, _use_new_zipfile_serialization=False)
    return path, task, folder / "data"


@pytest.mark.slow
def test_a_flipped_bit_in_a_configuration(legacy, tmp_path):
    path, task, data = legacy
    content, generator, refused = path.read_bytes(), random.Random(5), 0
    end = content.index(b"last_optimizer_state")  # tensors follow
    damaged = tmp_path / "damaged.pt"
    uses = [
        lambda: stripped_state(read_checkpoint(damaged, "--path")),
        lambda: load_model(inspect_checkpoint(damaged), data),
        lambda: load_teacher(str(damaged), task),
    ]
    for _ in range(TRIED):
        flipped = bytearray(content)
        flipped[generator.randrange(end)] ^= 1 << generator.randrange(8)
        damaged.write_bytes(flipped)
        for use in uses:
            try:
                use()
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error) and str(damaged) in str(error)
    assert refused > TRIED


@pytest.mark.parametrize("section", ["model", "task"])
def test_a_configuration_without_a_section(section, legacy, tmp_path):
    state = torch.load(legacy[0])
    del state["cfg"][section]
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=f"--path {tmp_path / 'x.pt'}: expected a fairseq check"):
        read_checkpoint(tmp_path / "x.pt", "--path")
