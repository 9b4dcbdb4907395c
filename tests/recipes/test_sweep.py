"""examples/kd_revisited: the grid, a sweep over toy models, its table and plot."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import stubbed
from fairseq import options

import toy
from lightpaff_fairseq.criterions.config_checks import check_config
from lightpaff_fairseq.pruning.one_shot import Sample
from recording import ROOT, STUB, of, trainings

FOLDER = ROOT / "examples" / "kd_revisited"
sys.path.insert(0, str(FOLDER))

import grid  # noqa: E402
import report  # noqa: E402
import sweep  # noqa: E402
import training  # noqa: E402

AXES = grid.with_shapes(["2x8", "1x12 --encoder-layers 1 --encoder-embed-dim 12"])
EVERYTHING = "knowledge*layer_map*init*soft*teacher*shape"


def names(*products, seeds=(1,)):
    return [point.name for point in grid.points(products, AXES, seeds, ["1x12"])]


def test_one_axis_at_a_time_shares_the_base_point():
    made = names("knowledge=logits,hidden", "soft=0.5,0")
    assert made == [
        "logits-uniform-distilled-0.5-online-2x8-s1",
        "hidden-uniform-distilled-0.5-online-2x8-s1",
        "logits-uniform-distilled-0-online-2x8-s1",
    ]
    assert len(set(names(EVERYTHING, seeds=(1, 2)))) == len(names(EVERYTHING, seeds=(1, 2)))


def test_points_that_cannot_be_are_left_out():
    points = grid.points([EVERYTHING], AXES, [1], ["1x12"])
    assert not [p for p in points if p["shape"] == "1x12" and p["init"] == "pretrained"]
    assert not [p for p in points if p["layer_map"] == "last" and p["knowledge"] == "embedding"]
    assert [p for p in points if p["layer_map"] == "last" and p["knowledge"] == "all"]
    cached = [p for p in points if p["teacher"] == "cached"]
    assert {p["soft"] for p in cached} == {"0.5", "0", "0.9", "1"}
    assert {p["knowledge"] for p in cached} == {"logits"}
    assert {p["shape"] for p in points if p["init"] == "homodistil"} == {"1x12"}
    assert "homodistil" not in {p["init"] for p in grid.points([EVERYTHING], AXES, [1])}


@pytest.mark.parametrize(
    ("product", "words"),
    [
        (
            "depth",
            "one of the axes knowledge, layer_map, init, soft, teacher, shape, got 'depth'",
        ),
        ("soft=0,2*init", "expected values of soft out of 0.5, 0, 0.9"),
    ],
)
def test_unknown_names_are_refused(product, words):
    with pytest.raises(ValueError, match="--vary") as error:
        names(product)
    assert words in str(error.value)


def parsed(argv):
    """A training's flags; an unknown one or a wrong value ends in SystemExit."""
    return options.parse_args_and_arch(options.get_training_parser(), argv)


def test_every_value_is_one_that_the_criterion_takes():
    base = ["data", "--task", "sentence_prediction", "--criterion", "kd_lu", "--optimizer", "adam"]
    base += ["--arch", "roberta_tiny", "--kd-teacher", "t.pt"]
    for flags in [flags for axis in grid.AXES.values() for flags in axis.values() if flags]:
        args = parsed([*base, *flags])
        assert isinstance(args.kd_lambda, float)
        check_config(args)


@pytest.mark.parametrize("data_set", ["sentence_polarity", "tatoeba_sv_en"])
def test_the_grid_of_each_data_set_exists(data_set):
    """run.sh's own settings: sizes, flags and grid fit together, up to fairseq's parser."""
    script = (
        f"OUT=/out STEPS=; source {FOLDER}/settings/{data_set}.sh; "
        f"source {FOLDER.parent}/{data_set}/run.sh; sweep_settings; "
        'printf "%s\\n" "$DEFAULT_VARY" "$ARCH" "$TEACHER_ARCH" "${#SHAPES[@]}" "${SHAPES[@]}" '
        '"${#PRUNED[@]}" "${PRUNED[@]/#/--pruned=}" "${FLAGS[@]}"'
    )
    done = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, check=True, cwd="/"
    )
    vary, arch, teacher, count, *rest = done.stdout.splitlines()
    shapes, (count, *rest) = rest[: int(count)], rest[int(count) :]
    axes = grid.with_shapes(shapes)
    texts, rest = rest[: int(count)], rest[int(count) :]
    pruned = grid.named([text.removeprefix("--pruned=") for text in texts])
    assert pruned.keys() <= axes["shape"].keys()
    assert len(grid.points(vary.split(), axes, [1], pruned)) >= 9
    flags = [*rest, "--user-dir", toy.USER_DIR]
    for architecture in ([arch, *shape] for shape in axes["shape"].values()):
        args = parsed([*flags, "--arch", *architecture])
        assert args.max_update == int(args.total_num_update)
    for more in pruned.values() or [()]:
        args_t = parsed([*flags, "--arch", *teacher.split(), *more])
        assert args_t.encoder_embed_dim > args.encoder_embed_dim


def test_run_sh_trains_what_a_sweep_starts_from(tmp_path):
    stubs = stubbed(tmp_path, "sentence_polarity")
    (tmp_path / "bin" / "python").write_text(STUB)
    done = stubs.run("../kd_revisited/run.sh", ARGUMENT="sentence_polarity")
    assert done.returncode == 0, done.stderr
    calls = stubs.calls()
    assert [Path(argv[0]).name for argv in of(calls, "python")] == ["sweep.py", "report.py"]
    runs = trainings(calls)
    students = {name: runs.pop(f"student_pretrained_{name}") for name in ("kd", "plain")}
    assert set(runs) == {"teacher_pretrained", "teacher"}
    assert students["kd"].criterion.kd_teacher == f"{stubs.out}/teacher_pretrained.pt"
    assert students["kd"].criterion.kd_lambda == 0.5 and students["plain"].criterion.kd_lambda == 0
    assert students["kd"].optimization == students["plain"].optimization


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A folder as a recipe leaves it, with models that were not trained."""
    folder = tmp_path_factory.mktemp("recipe")
    data = toy.write_labeled(folder / "data")
    flags = [data, "--task", "sentence_prediction", "--num-classes", 3, "--init-token", 0]
    flags += ["--max-positions", 20, "--batch-size", 20, "--lr", 1e-3, "--max-update", 2]
    flags += ["--lr-scheduler", "polynomial_decay", "--total-num-update", 2, "--optimizer", "adam"]
    flags += ["--criterion", "kd_lu"]
    for name, size in (
        ("teacher", (4, 16)),
        *((f"student_pretrained_{x}", (2, 8)) for x in ("kd", "plain")),
    ):
        argv = [*flags, *architecture(*size)]
        cfg = toy.parse(*argv)
        cfg.model.data = cfg.task.data
        task, model, _ = toy.build(*argv)
        model.register_classification_head("sentence_classification_head", num_classes=3)
        toy.save_model(folder / f"{name}.pt", cfg, model)
    return folder, [str(word) for word in flags]


def architecture(layers, width):
    sizes = ("--encoder-layers", layers, "--encoder-embed-dim", width, "--encoder-ffn-embed-dim", 8)
    return ("--arch", "roberta_tiny", *sizes)


def run(recipe, out, *more, vary=("init=distilled,random,teacher_last", "knowledge=logits,hidden")):
    folder, flags = recipe
    width = "--encoder-embed-dim 8 --encoder-ffn-embed-dim 8"
    prune = "--task prunable_sentence_prediction --prune-target-width 8 --prune-end 1"
    teacher = " ".join(str(word) for word in architecture(4, 16)[1:])
    argv = ["--recipe", folder, "--out", out, "--arch", "roberta_tiny"]
    argv += ["--shape", f"2x8 --encoder-layers 2 {width}"]
    argv += ["--shape", f"4x8 --encoder-layers 4 {width}", "--pruned", f"4x8 {prune}"]
    argv += ["--teacher-arch", teacher, "--split", "valid", "--vary", *vary, "--seeds", 1, 2]
    return sweep.main([str(word) for word in (*argv, "--", *flags, *more)])


def test_pruned_and_cached_students(recipe, tmp_path, monkeypatch):
    """Each is trained, as large as its shape says, and different from the others."""
    monkeypatch.setattr(sweep, "FEW", Sample(batches=2, max_tokens=128))
    vary = ("teacher", "shape=4x8*init=random,teacher_important,homodistil")
    assert run(recipe, tmp_path, vary=vary) == 0
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 10
    for seed in (1, 2):
        ours = {row["init"]: row for row in rows if row["seed"] == seed and row["shape"] == "4x8"}
        assert len({row["valid_loss"] for row in ours.values()}) == 3
        assert len({row["parameters"] for row in ours.values()}) == 1
        assert "prunable_sentence_prediction" in ours["homodistil"]["flags"]
        online, cached = (
            next(
                r
                for r in rows
                if r["seed"] == seed and r["init"] == "distilled" and r["teacher"] == t
            )
            for t in ("online", "cached")
        )
        assert "--kd-cache" in cached["flags"] and "--kd-teacher" not in cached["flags"]
        assert cached["valid_loss"] == pytest.approx(online["valid_loss"], abs=2e-3)  # all classes


def test_a_sweep_is_resumed_and_reported(recipe, tmp_path, capsys):
    assert run(recipe, tmp_path) == 0, capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 8 and len({row["name"] for row in rows}) == 8
    for row in rows:
        assert 0 <= row["valid_accuracy"] <= 100 and row["valid_loss"] > 0
        assert row["seconds"] >= row["seconds_updates"] + row["seconds_validation"] > 0
    distinct = {(row["init"], row["seed"], row["valid_loss"]) for row in rows}
    assert len(distinct) == 8, "every point is another training"

    (gone := tmp_path / "points" / f"{rows[3]['name']}.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "points").glob("*.json")}
    capsys.readouterr()
    assert run(recipe, tmp_path) == 0
    assert capsys.readouterr().out.count("\n") == 1, "only the missing one is trained"
    again = json.loads(gone.read_text())
    assert again["valid_loss"] == rows[3]["valid_loss"], "and comes out the same"
    assert (
        before.items() <= {p: p.stat().st_mtime_ns for p in (tmp_path / "points").iterdir()}.items()
    )

    assert run(recipe, tmp_path, "--dropout", "0.3") == 2
    assert "made with other flags" in capsys.readouterr().err

    argv = ["--sweep", str(tmp_path), "--metric", "accuracy", "--vary", "init", "knowledge"]
    assert report.main(argv) == 0
    table = (tmp_path / "table.md").read_text()
    for init in ("distilled", "random", "teacher_last"):
        both = [
            r["valid_accuracy"] for r in rows if r["init"] == init and r["knowledge"] == "logits"
        ]
        assert f"| {init} | 0.00 M | {sum(both) / 2:.1f} | {both[0]:.1f} {both[1]:.1f} |" in table
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_seconds_of_updates_are_not_those_of_everything():
    record = training.Record(["valid"])
    for seconds in ("3", "4"):  # an epoch each
        line = json.dumps({"train_train_wall": seconds, "train_wall": "11"})
        record.emit(logging.makeLogRecord({"name": "train", "msg": line}))
    assert record.updates_seconds == 7


def test_what_is_missing_is_named(recipe, tmp_path, capsys):
    (folder := tmp_path / "recipe").mkdir()
    (folder / "teacher.pt").touch()
    assert run((folder, recipe[1]), tmp_path / "sweep") == 2
    missing = "missing files: student_pretrained_kd.pt, student_pretrained_plain.pt"
    assert missing in capsys.readouterr().err and not (tmp_path / "sweep").exists()
    assert report.main(["--sweep", str(tmp_path), "--metric", "accuracy", "--vary", "init"]) == 2
    assert "results.jsonl is not there" in capsys.readouterr().err
