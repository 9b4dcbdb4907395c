"""Every recipe: its scripts run on data of the right form, and all that they call parses."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import VOCAB, stubbed
from fairseq import models, options, tasks
from fairseq.data import Dictionary

import hydra_runs
from cases import CASES
from datasets import FOLDERS, RECIPES
from lightpaff_fairseq.cli.main import build_parser
from lightpaff_fairseq.pruning.sizes import FAMILIES, family_of, plan_layout
from lightpaff_fairseq.pruning.student_config import parse_student
from lightpaff_fairseq.training.hydra_config import hydra_config
from recording import ROWS, distillations, evaluation, of, trainings
from toy import parse, write_dictionary

FILES = {"config.yaml", "prepare.sh", "run.sh", "README.md"}
CRITERIONS = {
    "bert": ("kd_mlm", "kd_lu"),
    "gpt2": ("kd_clm", "kd_lm"),
    "mass": ("kd_mssm", "kd_ss"),
}


@pytest.fixture(scope="module", params=[*sorted(RECIPES), "wikitext2 paper"])
def recipe(request, tmp_path_factory):
    """A complete run of a recipe, looked at by all tests of this module."""
    name, _, scale = request.param.partition(" ")
    recipe = stubbed(tmp_path_factory.mktemp(name), name)
    done = recipe.run(SCALE=scale)
    assert done.returncode == 0, done.stderr + done.stdout
    calls = recipe.calls()
    made = {"trained": trainings(calls), "rows": distillations(calls), "output": done.stdout}
    return SimpleNamespace(**vars(recipe), **made, name=name, recorded=calls)


def test_every_folder_is_complete_and_tested():
    assert {folder.name for folder in FOLDERS} == set(RECIPES)
    for folder in FOLDERS:
        assert {path.name for path in folder.iterdir()} >= FILES, folder


def test_the_teacher_is_trained_in_both_stages(recipe):
    assert list(recipe.trained) == ["teacher_pretrained", "teacher"]
    stages = zip(recipe.trained.values(), CRITERIONS[RECIPES[recipe.name]], strict=True)
    for cfg, criterion in stages:
        assert cfg.criterion._name == criterion and cfg.criterion.kd_lambda == 0
        assert cfg.optimization.max_update == cfg.lr_scheduler.total_num_update
        assert 0 < cfg.lr_scheduler.warmup_updates < cfg.optimization.max_update / 5
        assert cfg.dataset.required_batch_size_multiple == 1  # T1
        assert cfg.dataset.update_epoch_batch_itr is True  # T3
    start = recipe.trained["teacher"].checkpoint.finetune_from_model
    assert start == f"{recipe.out}/teacher_pretrained.pt"


@pytest.mark.parametrize("recipe", ["dialogsum", "sick", "wikitext2"], indirect=True)
def test_hydra_trains_the_teacher_with_the_same_settings(recipe, tmp_path):
    for words in of(recipe.recorded, "fairseq-train"):
        cfg = recipe.trained[Path(words[words.index("--save-dir") + 1]).name]
        path = tmp_path / "teacher.yaml"
        path.write_text(hydra_config(words, path))
        changed = {"checkpoint.save_dir", "common.user_dir"}  # the rest is the same
        arch = words[words.index("--arch") + 1]
        assert hydra_runs.differences(hydra_runs.composed(path), cfg, arch) == changed


def test_rows_differ_in_distillation_only(recipe):
    """no_kd and two_stage have a pre-training of their own; the others start from theirs."""
    assert sorted(recipe.rows) == sorted(ROWS)
    two_stage, none = recipe.rows["two_stage"], recipe.rows["no_kd"]
    direct = recipe.rows["from_teacher"]
    assert direct.init == "teacher" and direct.text is None and direct.serve != "none"
    for row in (two_stage, none):
        assert row.pretrained_teacher == recipe.out / "teacher_pretrained.pt"
        assert row.text == recipe.out / "mono"
    assert (two_stage.init, none.init) == ("teacher", "random")
    assert two_stage.kd_lambda > 0 and none.kd_lambda == 0 and two_stage.serve != "none"
    for name, start in (("pretraining_kd", "two_stage"), ("finetuning_kd", "no_kd")):
        row = recipe.rows[name]
        assert row.init == f"{recipe.out}/{start}/pretrained.pt" and row.serve == "none"
        assert row.text is row.arch is row.smaller is None
        assert row.kd_lambda == (0 if name == "pretraining_kd" else two_stage.kd_lambda)
    for name in ("updates", "lr", "max_tokens", "train_flags", "seed", "teacher", "data"):
        assert len({getattr(row, name) for row in recipe.rows.values()}) == 1, name


def test_data_of_both_stages_has_one_dictionary_with_the_mask(recipe):
    parser = options.get_preprocessing_parser()
    parsed = [parser.parse_args(argv) for argv in of(recipe.recorded, "fairseq-preprocess")]
    texts_of = [args for args in parsed if not args.srcdict.endswith("label.dict.txt")]
    used = {path for args in texts_of for path in (args.srcdict, args.tgtdict) if path}
    assert used == {f"{recipe.out}/spm.dict.txt"} and len(texts_of) >= 2
    dictionary = Dictionary.load(used.pop())
    assert dictionary.symbols[-1] == "<mask>" and len(dictionary) == int(VOCAB) - 3 + 4 + 1
    destinations = {args.destdir.removeprefix(f"{recipe.out}/").split("/")[0] for args in parsed}
    assert destinations == {"data", "mono"}


def test_evaluation_names_every_model_once(recipe):
    args = evaluation(recipe.recorded)
    students = [recipe.out / row / "student.pt" for row in ROWS]
    assert args.path == [recipe.out / "teacher.pt", *students]
    names = ["no KD", "pre-training KD", "fine-tuning KD", "two-stage KD", "from the teacher"]
    assert args.name == ["teacher", *names]
    assert set(args.compare or ()) <= set(args.name)
    for path in args.references:
        assert len(path.read_text(encoding="utf-8").splitlines()) >= 7
    task = {"bert": "sentence_prediction", "gpt2": "language_modeling", "mass": "translation"}
    assert args.task == task[RECIPES[recipe.name]]
    assert "the table" in recipe.output


def test_students_are_small_and_fit_into_their_teachers(recipe, tmp_path, monkeypatch):
    """At least five times on a CPU; the papers' pairs, which have `arch`, are a little closer."""
    settings, teacher = recipe.rows["two_stage"], recipe.trained["teacher"]
    if settings.arch is None:
        assert settings.smaller >= 5
        return
    # which cannot work on the meta device
    monkeypatch.setattr("fairseq.models.roberta.model.init_bert_params", lambda module: None)
    languages = [f"dict.{teacher.task.get(key, None)}" for key in ("source_lang", "target_lang")]
    for name in ("dict", "input0/dict", "label/dict", *languages):
        write_dictionary(tmp_path / f"{name}.txt", words=32000)
    arch, *flags = settings.arch.split()
    student = parse_student(arch, flags, teacher, str(tmp_path))
    sides = FAMILIES[family_of(teacher.model, "--teacher")]
    plan_layout(teacher.model, student.model, dict.fromkeys(sides, ("--layers", "uniform")))
    assert parameters(teacher, tmp_path) >= 3 * parameters(student, tmp_path)


def parameters(cfg, folder):
    cfg.task.data = str(folder)
    with torch.device("meta"):
        model = models.build_model(cfg.model, tasks.setup_task(cfg.task))
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["sick", "wmt16_en_ro"])
def test_missing_data_is_named_before_anything_is_done(name, tmp_path):
    recipe = stubbed(tmp_path, name)
    done = recipe.run(DATA_DIR=str(tmp_path))
    assert done.returncode != 0 and "README.md" in done.stderr and "train" in done.stderr
    assert not (recipe.out / "prepared").exists() and recipe.calls() == []


@pytest.mark.parametrize("name", ["sst2", "wikitext2", "ptb", "gigaword"])
def test_other_data_than_the_official_is_refused(name, tmp_path):
    recipe = stubbed(tmp_path, name)
    done = recipe.run("prepare.sh", CHECK_DATA="yes")
    assert done.returncode != 0 and "expected" in done.stderr and "got" in done.stderr
    assert recipe.calls() == []


def test_a_wrong_label_is_refused(tmp_path):
    recipe = stubbed(tmp_path, "subjectivity")
    dev = tmp_path / "data" / "dev.tsv"
    dev.write_text(dev.read_text(encoding="utf-8") + "2\tneither\n", encoding="utf-8")
    done = recipe.run("prepare.sh")
    assert done.returncode != 0 and "labels are not in 0 1, such as 2" in done.stderr
    assert not (recipe.out / "prepared").exists()


def test_the_pretraining_of_another_recipe_is_taken(tmp_path):
    """Same subwords, no pre-training data, and every start is a model of the other folder."""
    first, second = (stubbed(tmp_path / x, "subjectivity") for x in "ab")
    assert first.run("prepare.sh").returncode == 0
    for name in ("teacher_pretrained", "two_stage/pretrained", "no_kd/pretrained"):
        (first.out / name).parent.mkdir(exist_ok=True)
        (first.out / f"{name}.pt").touch()
    done = second.run(PRETRAINING=str(first.out))
    assert done.returncode == 0, done.stderr
    calls = second.calls()
    ((name, teacher),) = trainings(calls).items()
    assert name == "teacher"
    assert teacher.checkpoint.finetune_from_model == f"{first.out}/teacher_pretrained.pt"
    rows = distillations(calls)
    starts = {name: row.init for name, row in rows.items()}
    two_stage, none = (f"{first.out}/{x}/pretrained.pt" for x in ("two_stage", "no_kd"))
    assert starts["two_stage"] == starts["pretraining_kd"] == two_stage
    assert starts["no_kd"] == starts["finetuning_kd"] == none and rows["no_kd"].text is None
    model = (first.out / "spm.model").read_bytes()
    assert (second.out / "spm.model").read_bytes() == model and not (second.out / "mono").exists()


def test_regression_seeds_and_settings_reach_every_row(tmp_path):
    recipe = stubbed(tmp_path, "sick")
    variables = {"LABELS": "", "SEEDS": "1 2", "LANES": "1", "INIT": "random"}
    done = recipe.run(ARGUMENT="updates=7 smaller=6", **variables)
    assert done.returncode == 0, done.stderr
    calls = recipe.calls()
    rows, teacher = distillations(calls), trainings(calls)["teacher"]
    assert teacher.criterion.regression_target and teacher.task.num_classes == 1
    assert {row.updates for row in rows.values()} == {7}
    assert rows["two_stage"].init == "random" and rows["two_stage"].smaller == 6
    again = rows["two_stage_seed2"]
    assert again.seed == 2 and again.init == f"{recipe.out}/two_stage/pretrained.pt"
    assert rows["finetuning_kd_seed2"].init == f"{recipe.out}/no_kd/pretrained.pt"
    args = evaluation(calls)
    assert len(set(args.name)) == 11 and "two-stage KD, seed 2" in args.name
    assert args.group.count("two-stage KD") == 2


def test_augmented_data_are_compared_with_equal_updates(tmp_path):
    recipe = stubbed(tmp_path, "sick")
    for name in ("data", "augmented_data"):
        (recipe.out / name).mkdir(parents=True)
    (recipe.out / "teacher.pt").touch()
    done = recipe.run("../augmented.sh", ARGUMENT="sick smaller=6", SEEDS="1 2", UPDATES="7")
    assert done.returncode == 0, done.stderr
    calls, out = recipe.calls(), recipe.out
    (argv,) = of(calls, "lightpaff", "augment")
    args = build_parser(["augment"]).parse_args(["augment", *argv])
    assert (args.data, args.out) == (out / "data", out / "augmented_data")
    assert args.path == out / "teacher_pretrained.pt" and args.copies == 10
    rows = distillations(calls)
    names = ["same_updates", "augmented", "first_phase", "two_phases"]
    assert list(rows) == [*names, *(f"{name}_seed2" for name in names)]
    assert {row.updates for row in rows.values()} == {7} and rows["augmented"].smaller == 6
    assert [rows[name].data == args.out for name in names] == [False, True, True, True]
    assert rows["two_phases_seed2"].init == f"{out}/first_phase_seed2/student.pt"
    flags = ["--kd-teacher", "x", *rows["first_phase"].kd_flags.split()]
    (case,) = (case for case in CASES if case.name == "kd_lu")
    cfg = parse(*case.argv(out), "--criterion", "kd_lu", *flags)
    assert cfg.criterion.kd_output_weight == 0 and cfg.criterion.kd_attention_weight == 1
    assert evaluation(calls).name[-1] == "augmented data, two phases, seed 2"


def test_an_encoder_is_fine_tuned_and_distilled(tmp_path):
    recipe = stubbed(tmp_path, "sick")
    variables = {"HF": "minilm", "SEEDS": "1 2", "ENCODE": "copy", "LABELS": ""}
    done = recipe.run("../encoder.sh", ARGUMENT="sick updates=7", **variables)
    assert done.returncode == 0, done.stderr
    calls, out = recipe.calls(), recipe.out
    assert of(calls, "lightpaff", "convert") == [
        [
            "--force",
            "--from",
            "hf",
            "minilm",
            "--to",
            "fairseq",
            f"{out}/encoder",
            "--num-classes",
            "1",
        ]
    ]
    texts = of(calls, "fairseq-preprocess")
    assert {argv[argv.index("--srcdict") + 1] for argv in texts} == {f"{out}/spm.dict.txt"}
    assert (out / "spm.dict.txt").read_text() == (out / "encoder" / "dict.txt").read_text()
    (teacher,) = trainings(calls).values()
    assert teacher.model._name == "bert" and teacher.model.encoder_layers == 6
    assert teacher.task.separator_token is None and teacher.task.init_token == 0
    assert teacher.task.regression_target and teacher.checkpoint.finetune_from_model == (
        f"{out}/encoder/model.pt"
    )
    rows = distillations(calls)
    names = ["from_teacher", "cut_out", "no_kd", "finetuning_kd"]
    assert list(rows) == [*names, *(f"{name}_seed2" for name in names)]
    assert [rows[name].init for name in names] == ["teacher", "teacher", "random", "random"]
    assert [rows[name].kd_lambda == 0 for name in names] == [False, True, True, False]
    assert {row.tokenizer for row in rows.values()} == {out / "encoder"}
    assert evaluation(calls).name[-1] == "from the teacher, seed 2"


def test_an_encoder_teaches_both_stages_with_fewer_tokens(tmp_path):
    recipe = stubbed(tmp_path, "sick")
    variables = {"HF": "minilm", "SEEDS": "1 2", "TWO_STAGE": "yes", "ABLATIONS": "no"}
    done = recipe.run("../encoder.sh", ARGUMENT="sick keep_tokens=9", **variables)
    assert done.returncode == 0, done.stderr
    calls, out = recipe.calls(), recipe.out
    first, second = trainings(calls).values()
    assert first.task._name == "masked_lm" and first.model._name == "bert"
    starts = [x.checkpoint.finetune_from_model for x in (first, second)]
    assert starts == [f"{out}/encoder/model.pt", f"{out}/teacher_pretrained.pt"]
    rows = distillations(calls)
    names = ["from_teacher", "from_teacher_seed2", "two_stage", "two_stage_seed2"]
    assert list(rows) == names
    assert {(row.keep_tokens, row.tokenizer) for row in rows.values()} == {("9", out / "encoder")}
    assert rows["two_stage"].pretrained_teacher == out / "teacher_pretrained.pt"
    assert rows["two_stage_seed2"].init == f"{out}/two_stage/pretrained.pt"
    assert evaluation(calls).data_of == ()

    for name in names[::2]:
        (out / name / "trimmed_data").mkdir()
    (out / "table.txt").unlink()
    done = recipe.run("../encoder.sh", ARGUMENT="sick keep_tokens=9", **variables)
    assert done.returncode == 0, done.stderr
    others = [f"{title}={out}/{name}/trimmed_data" for title, name in
              (("two-stage KD", "two_stage"), ("from the teacher", "from_teacher"))]  # fmt: skip
    assert list(evaluation(recipe.calls()).data_of) == others


@pytest.mark.parametrize("name", ["sick", "dialogsum"])
def test_unlabeled_text_is_distilled_with_lambda_one(name, tmp_path):
    recipe = stubbed(tmp_path, name)
    assert recipe.run("prepare.sh").returncode == 0
    text = tmp_path / "text"
    text.write_text("one\tyes\ntwo\tno\nthree\tor\n")
    for model in ("teacher.pt", "two_stage/student.pt"):
        (recipe.out / model).parent.mkdir(exist_ok=True)
        (recipe.out / model).touch()
    (recipe.out / "unlabeled_data").mkdir(exist_ok=True)
    recipe.calls()
    done = recipe.run("../unlabeled.sh", ARGUMENT=f"{name} {text} updates=7")
    assert done.returncode == 0, done.stderr
    calls = recipe.calls()
    row, data = distillations(calls)["unlabeled"], recipe.out / "unlabeled_data"
    assert row.kd_lambda == 1 and row.data == data and row.updates == 7
    assert row.init == f"{recipe.out}/two_stage/student.pt" and row.text is None
    assert evaluation(calls).name == ["teacher", "two-stage KD", "two-stage KD, unlabeled text"]
    if name == "sick":
        assert (data / "label" / "train.label").read_text() == "NEUTRAL\n" * 3
        assert (recipe.out / "text" / "unlabeled_input1.train").read_text() == "yes\nno\nor\n"
        assert (data / "label" / "test.label").exists()
    else:
        (argv,) = of(calls, "lightpaff", "seq-kd")
        args, flags = build_parser().parse_known_args(["seq-kd", *argv])
        assert args.path == f"{recipe.out}/teacher.pt" and args.out == data
        assert args.text == [text] and args.sentencepiece_model == recipe.out / "spm.model"
        generation = options.get_generation_parser(default_task="translation")
        parsed = options.parse_args_and_arch(generation, flags)
        assert parsed.data == f"{recipe.out}/data" and parsed.beam == 5
        assert parsed.truncate_source and parsed.target_lang == "summary"
