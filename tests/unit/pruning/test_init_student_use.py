"""`lightpaff init-student`: training from the result, and what is refused."""

import pytest

import toy
from lightpaff_fairseq.checkpoints import state_dict
from lightpaff_fairseq.checkpoints.state_dict import check_equal_tensors
from student_cases import FAMILIES, make_teacher


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "teachers"
    return lambda name: make_teacher(name, folder)


SMALL = {"layers": 1, "width": 8, "heads": 2, "ffn": 12}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer, pre-norm", "roberta, classes"])
def test_training_starts_from_it(name, teacher, tmp_path):
    """Into the stock architecture, no tensor left out: --lr 0 leaves them as they were."""
    source, family, out = teacher(name), FAMILIES[name], tmp_path / "student.pt"
    assert source.start(out, **SMALL) == 0
    want = toy.checkpoint(out)
    assert {"last_optimizer_state", "kd_teacher"}.isdisjoint(want) and "kd_" not in str(want["cfg"])
    arch = ("--arch", family.student or family.arch[1], *family.arch[2:], *family.sizes(**SMALL))
    run = ("--finetune-from-model", out, "--save-dir", tmp_path, "--max-update", 1, "--lr", 0)
    run += ("--criterion", family.criterion, "--lr-scheduler", "fixed", "--max-tokens", 500)
    data = source.cfg.task.data
    toy.train(data, *family.task, *arch, *run)
    found = toy.checkpoint(tmp_path / "checkpoint_last.pt")
    check_equal_tensors(want["model"], found["model"])
    assert found["optimizer_history"][-1]["num_updates"] == 1


def refused(source, tmp_path, capsys, *flags, **sizes):
    """The one line that a refusal prints; nothing was written."""
    before = sorted(tmp_path.iterdir())
    assert source.start(tmp_path / "student.pt", *flags, **sizes) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("lightpaff")]
    assert sorted(tmp_path.iterdir()) == before
    return line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--arch", "transformer_tinny"), "no architecture of this name; close to it: transformer"),
        (("--arch", "roberta_tiny"), "teacher's model family transformer, got one of roberta"),
        (("--data", "/no/such/folder"), "--data /no/such/folder: no such folder"),
        (("--out", "/no/such/folder/s.pt"), "the folder /no/such/folder does not exist"),
        (("--teacher", "/no/such/t.pt"), "--teacher /no/such/t.pt: no such file"),
        (
            ("--importance-batches", 0, "--importance-max-tokens", -1),
            "--importance-batches 0: expected 1 or more; --importance-max-tokens -1: expected 1",
        ),
        (("--encoder-layer", 2), "unrecognized arguments: --encoder-layer 2"),
        (("--encoder-layers", "two"), "argument --encoder-layers: invalid int value: 'two'"),
    ],
)
def test_refused_before_any_model_is_built(flags, words, teacher, tmp_path, capsys, monkeypatch):
    source = teacher("transformer")
    monkeypatch.setattr("fairseq.models.build_model", None)
    assert words in refused(source, tmp_path, capsys, *flags)


@pytest.mark.slow
def test_all_that_does_not_fit_at_once(teacher, tmp_path, capsys, monkeypatch):
    source = teacher("transformer")
    monkeypatch.setattr("fairseq.models.build_model", None)
    flags = ("--encoder-layers", 5, "--encoder-ffn-embed-dim", 25, "--decoder-embed-dim", 15)
    flags += ("--decoder-layers", 2, "--decoder-layers-map", "3,5", "--activation-fn", "gelu")
    flags += ("--encoder-normalize-before", "--decoder-output-dim", 16, "--layers", "middle")
    line = refused(source, tmp_path, capsys, *flags)
    for words in (
        "--encoder-layers: expected from 1 to the teacher's 4, got 5",
        "--encoder-ffn-embed-dim: expected from 1 to the teacher's 24, got 25",
        "--decoder-attention-heads: expected a divisor of the width 15, got 2",
        "--decoder-output-dim: expected 15, as the teacher's is that of its layers, got 16",
        "--decoder-layers-map '3,5' as '1:3,2:5', counted from 1: teacher layer 5 does not exist",
        "(the teacher has 4 layers)",
        "--activation-fn: expected the teacher's relu, got gelu",
        "--encoder-normalize-before: expected the teacher's False, got True",
        "--layers 'middle': expected first, last, uniform, importance or teacher layers as 1,3,5",
    ):
        assert words in line, words


@pytest.mark.slow
def test_wider_heads_and_wrong_numbers_of_layers(teacher, tmp_path, capsys):
    source = teacher("mass")
    line = refused(source, tmp_path, capsys, "--layers", "1,2,3", heads=1, layers=2)
    assert "heads of at most the teacher's 4 dimensions, got 1 heads of 16" in line
    assert "--layers '1,2,3': expected 2 teacher layers, one per student layer, got 3" in line
    line = refused(source, tmp_path, capsys, "--layers", "2,1", heads=8, width=32, layers=2)
    assert "--encoder-attention-heads: expected from 1 to the teacher's 4, got 8" in line
    assert "--decoder-embed-dim: expected from 1 to the teacher's 16, got 32" in line
    assert "expected layers that ascend" in line


@pytest.mark.slow
def test_what_only_the_models_show(teacher, tmp_path, capsys):
    source = teacher("transformer")  # three tables of their own
    line = refused(source, tmp_path, capsys, "--share-all-embeddings", "--max-source-positions", 50)
    assert "encoder.embed_positions.weight is (42, 16) in the teacher and (52, 16) in" in line
    line = refused(source, tmp_path, capsys, "--share-decoder-input-output-embed")
    assert "ties decoder.embed_tokens.weight and decoder.output_projection.weight, which" in line


def test_no_map_for_a_decoder_that_is_not_there(teacher, tmp_path, capsys):
    flags = ("--decoder-layers-map", "first")
    line = refused(teacher("roberta, classes"), tmp_path, capsys, *flags)
    assert "--decoder-layers-map: the teacher has no decoder" in line


@pytest.mark.slow
def test_other_dictionaries(teacher, tmp_path, capsys):
    source = teacher("transformer")
    other = toy.write_parallel(tmp_path / "other", words=toy.WORDS + 1)
    line = refused(source, tmp_path, capsys, "--data", other)
    assert f"--data {other}: expected the source dictionary that --teacher {source.path}" in line
    for lang in ("sv", "en"):  # as many symbols, two of them swapped
        path = toy.write_parallel(tmp_path / "other") / f"dict.{lang}.txt"
        path.write_text(
            path.read_text().replace("w7 ", "x ").replace("w8 ", "w7 ").replace("x ", "w8 ")
        )
    line = refused(source, tmp_path, capsys, "--data", other)
    assert "symbol 11 is 'w7' in the training data and 'w8' in the data here" in line
    (tmp_path / "empty").mkdir()
    line = refused(source, tmp_path, capsys, "--data", tmp_path / "empty")
    assert "--data: the teacher's dictionaries were not found in --data" in line


@pytest.mark.slow
def test_files(teacher, tmp_path, capsys, monkeypatch):
    source, out = teacher("transformer"), tmp_path / "student.pt"
    out.write_text("precious")
    assert "--force" in refused(source, tmp_path, capsys)
    assert "is the file of --teacher" in refused(
        source, tmp_path, capsys, "--out", source.path, "--force"
    )
    monkeypatch.setattr(state_dict, "_same_bits", lambda a, b: False)
    assert "differs from its source" in refused(source, tmp_path, capsys, "--force")
    assert out.read_text() == "precious"


@pytest.mark.slow
def test_no_norm_that_could_undo_the_scale_of_tied_embeddings(teacher, tmp_path, capsys):
    source = teacher("transformer, pre-norm")
    line = refused(source, tmp_path, capsys, "--no-decoder-final-norm", width=8, heads=2)
    assert "--no-decoder-final-norm: expected the teacher's False, got True" in line
    assert "--no-decoder-final-norm: expected a student as wide as the teacher" in line
