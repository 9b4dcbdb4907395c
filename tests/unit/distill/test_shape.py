"""The student's shape: a target size is reached from below, with the teacher's function."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import toy
from lightpaff_fairseq.checkpoints.building import build, dummy_task
from lightpaff_fairseq.distill.same_shape import same_shape
from lightpaff_fairseq.distill.settings import DistillSettings
from lightpaff_fairseq.distill.shape import TOLERANCE, choose_shape, largest, target_size
from lightpaff_fairseq.distill.teacher_info import TeacherInfo, inspect_teacher
from lightpaff_fairseq.pruning.sizes import FUNCTION
from lightpaff_fairseq.pruning.student_config import parse_student

WIDE = {
    "transformer": (
        (
            "--task",
            "translation",
            "--arch",
            "transformer_mass_tiny",
            "--criterion",
            "cross_entropy",
        ),
        ("--encoder-embed-dim", 64, "--encoder-ffn-embed-dim", 256, "--encoder-layers", 3),
        ("--decoder-layers", 3, "--max-source-positions", 20, "--max-target-positions", 20),
    ),
    "sinusoidal, pre-norm": (
        ("--task", "translation", "--arch", "transformer", "--criterion", "cross_entropy"),
        ("--encoder-embed-dim", 64, "--encoder-ffn-embed-dim", 128, "--encoder-layers", 2),
        ("--decoder-layers", 2, "--encoder-normalize-before", "--decoder-normalize-before"),
        ("--activation-fn", "gelu", "--share-decoder-input-output-embed"),
    ),
    "language model": (
        ("--task", "language_modeling", "--arch", "transformer_lm_gpt2_micro"),
        ("--tokens-per-sample", 20, "--criterion", "cross_entropy"),
    ),
    "classifier": (
        ("--task", "sentence_prediction", "--arch", "roberta_tiny", "--num-classes", 3),
        ("--init-token", 0, "--criterion", "sentence_prediction", "--max-positions", 24),
    ),
    "classifier with segments": (
        ("--task", "sentence_prediction", "--arch", "bert", "--num-classes", 3, "--init-token", 0),
        ("--encoder-embed-dim", 64, "--encoder-layers", 2, "--encoder-ffn-embed-dim", 128),
        ("--encoder-attention-heads", 2, "--max-positions", 24, "--criterion"),
        ("sentence_prediction",),
    ),
}


STOCK = {"bert": "roberta"}  # what can be served


@pytest.fixture(params=sorted(WIDE))
def teacher(request, tmp_path):
    kind = request.param
    data = tmp_path / "data"
    if kind.startswith("classifier"):
        toy.write_labeled(data)
    elif kind == "language model":
        toy.write_monolingual(data)
    else:
        toy.write_parallel(data)
    words = [word for part in WIDE[kind] for word in part]
    cfg = toy.parse(data, *words)
    _, model, _ = toy.build(data, *words)
    return inspect_teacher(toy.save_model(tmp_path / "teacher.pt", cfg, model), "--teacher")


def parameters_of(shape, teacher):
    """Build the student that the flags describe, as fairseq-train does."""
    _, arch, *flags = shape.flags
    cfg = parse_student(arch, flags, teacher.cfg, str(teacher.cfg.task.data))
    model = build(cfg.model, dummy_task(teacher.tensors, "test"), {}, "test")
    return cfg, sum(p.numel() for p in model.parameters())


@pytest.mark.slow
def test_the_flags_make_a_student_of_the_target_size_that_computes_the_same_function(teacher):
    shape = choose_shape(DistillSettings(smaller=3), teacher)
    cfg, params = parameters_of(shape, teacher)
    target = teacher.params / 3
    assert target * (1 - TOLERANCE) <= shape.params <= target
    assert params == shape.params
    assert cfg.model._name == STOCK.get(teacher.arch, teacher.arch)
    for name in FUNCTION:
        expected, value = (getattr(x, name, None) or False for x in (teacher.model, cfg.model))
        assert expected == value, name


@pytest.mark.slow
def test_the_same_shape_for_the_same_teacher(teacher):
    shape = choose_shape(DistillSettings(smaller=3), teacher)
    assert same_shape(shape.sizes, teacher, "--teacher") == shape


def fake(tmp_path, params=10**6):
    """A teacher whose file is never read."""
    section = OmegaConf.create(
        {
            "_name": "transformer",
            **{f"{s}_{k}": v for s in ("encoder", "decoder") for k, v in SIZES.items()},
            "share_all_embeddings": True,
        }
    )
    table = {"encoder.embed_tokens.weight": torch.zeros(100, 64)}
    return TeacherInfo(
        Path("t.pt"), "transformer", "transformer", "translation", section, None, None, params,
        2 * params, 100, table,
    )  # fmt: skip


SIZES = {"layers": 6, "embed_dim": 64, "attention_heads": 4, "ffn_embed_dim": 256}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"params": "2M"}, "--params 2M: expected fewer than the teacher's 1,000,000 parameters"),
        ({"encoder_layers": 7}, "--encoder-layers 7: expected at most the teacher's 6"),
        ({"arch": "transfomer"}, "fairseq knows no architecture of this name; close to it:"),
        ({"arch": "roberta_base"}, "expected an architecture of the teacher's model family"),
    ],
)
def test_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match="^--") as error:
        choose_shape(DistillSettings(**settings), fake(tmp_path))
    assert message in str(error.value)


def test_the_size_is_relative_to_the_teacher_with_all_its_tokens(tmp_path):
    settings = DistillSettings(smaller=4)
    assert target_size(settings, fake(tmp_path)) == ("--smaller 4", 500_000)


@pytest.mark.slow
def test_a_target_below_the_smallest_student_names_the_smallest(teacher):
    with pytest.raises(ValueError, match="--params 50: expected at least") as error:
        choose_shape(DistillSettings(params="50"), teacher)
    assert "the smallest student with this vocabulary" in str(error.value)


def test_the_largest_number_that_fits():
    for most in range(9):
        for limit in range(10):
            assert largest(lambda n, limit=limit: n <= limit, most) == min(limit, most)
