"""Every preset of its own depth of the decoder: from a teacher's weights to CTranslate2."""

import numpy as np
import pytest
import torch
from fairseq import tasks

import toy
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.export import to_ctranslate2
from lightpaff_fairseq.export.engines import Search, fairseq_engine
from lightpaff_fairseq.export.loaded_model import inspect_checkpoint, load_model
from lightpaff_fairseq.models.presets import PRESETS

pytestmark = [pytest.mark.export, pytest.mark.slow]
SHAPES = {name: preset for name, preset in PRESETS.items() if preset.decoder_layers}
POSITIONS = ("--max-source-positions", 40, "--max-target-positions", 40)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """(data, checkpoint) of 12+6 layers, random."""
    folder = tmp_path_factory.mktemp("teacher")
    data = toy.write_parallel(folder / "data", count=20)
    sizes = ("--encoder-layers", 12, "--decoder-layers", 6, "--encoder-embed-dim", 64)
    sizes += ("--encoder-ffn-embed-dim", 24, *POSITIONS)
    for side in ("encoder", "decoder"):
        sizes += (f"--{side}-attention-heads", 8)
    cfg = toy.parse(data, "--task", "translation", "--arch", "transformer_mass_base", *sizes)
    torch.manual_seed(4)
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return data, toy.save_model(folder / "teacher.pt", cfg, model)


def test_all_shapes_are_tried():
    assert list(SHAPES) == ["6_2x256", "6_2x384", "6_4x384", "12_1x512"]


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_starts_from_its_teacher_and_is_served(teacher, tmp_path, name):
    preset, (data, path) = SHAPES[name], teacher
    width = 4 * preset.heads  # narrow: layers, heads and ties are the preset's own
    assert preset.width == 64 * preset.heads and preset.ffn == 4 * preset.width
    argv = ("init-student", "--teacher", path, "--arch", f"transformer_mass_{name}", *POSITIONS)
    argv += ("--encoder-embed-dim", width, "--encoder-ffn-embed-dim", 12)
    argv += ("--decoder-layers-map", "last", "--out", tmp_path / "student.pt")
    assert main([str(word) for word in argv]) == 0

    student = load_model(inspect_checkpoint(tmp_path / "student.pt"), data)
    encoder, decoder = student.model.encoder, student.model.decoder
    assert (len(encoder.layers), len(decoder.layers)) == (preset.layers, preset.decoder_layers)
    assert encoder.embed_tokens.weight is decoder.output_projection.weight
    folder = tmp_path / "served"
    folder.mkdir()
    to_ctranslate2.write(student, folder, None)
    student.task.load_dataset("test")
    sample = toy.batch(student.task, range(8), "test")
    engines = (
        fairseq_engine(student, Search(), "cpu"),
        to_ctranslate2.engine(student, folder, Search(), "cpu"),
    )
    of_fairseq, served = (engine.log_probs(sample) for engine in engines)
    assert len(served) == 8 and np.std(np.concatenate(served)) > 0.1
    for expected, got in zip(of_fairseq, served, strict=True):
        assert np.abs(got - expected).max() < 1e-4
