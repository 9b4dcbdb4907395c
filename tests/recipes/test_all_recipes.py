"""Every recipe: its scripts run on data of the right form, and all that they call parses."""

from types import SimpleNamespace

import pytest
from conftest import stubbed_recipe
from fairseq import options
from fairseq.data import Dictionary
from test_recipes import parameters

from datasets import FOLDERS, RECIPES, texts, write_data
from lightpaff_fairseq.cli.main import build_parser
from recording import ROOT, STUDENTS, of, trainings
from toy import write_monolingual

STEPS = ("prepare", "teacher", "pretrain", "finetune", "evaluate")
CRITERIONS = {
    "bert": ("kd_mlm", "kd_lu"),
    "gpt2": ("kd_clm", "kd_lm"),
    "mass": ("kd_mssm", "kd_ss"),
}
PAPER = ("sst2", "qqp", "wikitext103", "ptb", "wmt16_en_de", "wmt16_en_ro", "gigaword")
VOCAB = "420"  # bytes, letters and a few pieces


def stubbed(folder, name):
    """A recipe with its data, stubs for the commands, and a sacrebleu that prints sentences.

    Encoding copies the text, which saves a process for every file.
    """
    recipe = stubbed_recipe(folder)
    sacrebleu = folder / "bin" / "sacrebleu"
    lines = "\n".join(texts(7)[0])
    sacrebleu.write_text(f"#!/bin/sh\ncat <<'EOF'\n{lines}\nEOF\n")
    sacrebleu.chmod(0o755)
    recipe.environment.update(write_data(name, folder), CHECK_DATA="no", VOCAB=VOCAB, ENCODE="copy")
    return recipe


@pytest.fixture(scope="module", params=sorted(RECIPES))
def recipe(request, tmp_path_factory):
    """A complete run of a recipe, looked at by all tests of this module."""
    name = request.param
    recipe = stubbed(tmp_path_factory.mktemp(name), name)
    done = recipe.run(ROOT / "examples" / "run.sh", ARGUMENT=name)
    assert done.returncode == 0, done.stderr + done.stdout
    recorded = recipe.calls()
    return SimpleNamespace(
        **vars(recipe),
        name=name,
        recorded=recorded,
        trained=trainings(recorded),
        output=done.stdout,
    )


def test_every_folder_is_complete_and_tested():
    assert {folder.name for folder in FOLDERS} == {"tatoeba_sv_en", *RECIPES}
    for folder in FOLDERS:
        names = {path.name for path in folder.iterdir()}
        assert {f"{step}.sh" for step in STEPS} | {"settings.sh", "README.md"} <= names, folder


def test_both_stages_have_the_criterions_of_the_family(recipe):
    first, second = CRITERIONS[RECIPES[recipe.name]]
    pretrained = ("teacher_pretrained", "student_pretrained_plain", "student_pretrained_kd")
    students = [f"student_{name}" for name in STUDENTS]
    assert sorted(recipe.trained) == sorted([*pretrained, "teacher", *students])
    for name, cfg in recipe.trained.items():
        assert cfg.criterion._name == (first if name in pretrained else second)
        assert cfg.criterion.kd_lambda == (0.5 if name.endswith("_kd") else 0)
        teacher = "teacher_pretrained" if name in pretrained else "teacher"
        teacher_path = cfg.criterion.kd_teacher
        assert teacher_path == (f"{recipe.out}/{teacher}.pt" if name.endswith("_kd") else None)
        assert cfg.optimization.max_update == cfg.lr_scheduler.total_num_update
        assert 0 < cfg.lr_scheduler.warmup_updates < cfg.optimization.max_update / 5
        assert cfg.dataset.required_batch_size_multiple == 1  # T1
        assert cfg.dataset.update_epoch_batch_itr is True  # T3
    for first in ("plain", "kd"):
        for second in ("plain", "kd"):
            start = recipe.trained[f"student_{first}_{second}"].checkpoint.finetune_from_model
            assert start == f"{recipe.out}/student_pretrained_{first}.pt"


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
    (argv,) = of(recipe.recorded, "lightpaff", "evaluate")
    args = build_parser().parse_args(["evaluate", *argv])
    stems = [path.stem for path in args.path]
    assert stems == ["teacher", *(f"student_{name}" for name in STUDENTS)]
    assert args.name == ["teacher", "no KD", "pre-training KD", "fine-tuning KD", "two-stage KD"]
    for path in args.references:
        assert len(path.read_text(encoding="utf-8").splitlines()) >= 7
    task = {"bert": "sentence_prediction", "gpt2": "language_modeling", "mass": "translation"}
    assert args.task == task[RECIPES[recipe.name]]
    assert "the table" in recipe.output


def test_students_are_small(recipe, tmp_path, monkeypatch):
    """At least five times on a CPU; the papers' pairs are a little closer than that."""
    # which cannot work on the meta device
    monkeypatch.setattr("fairseq.models.roberta.model.init_bert_params", lambda module: None)
    folder = write_monolingual(tmp_path / "m", count=8, words=3997)
    teacher, student = (
        parameters(recipe.trained[name], folder)
        for name in ("teacher_pretrained", "student_pretrained_kd")
    )
    assert teacher >= (3 if recipe.name in PAPER else 5) * student


@pytest.mark.parametrize("name", ["sick", "wmt16_en_ro"])
def test_missing_data_is_named_before_anything_is_done(name, tmp_path):
    recipe = stubbed(tmp_path, name)
    done = recipe.run(ROOT / "examples" / name / "prepare.sh", DATA_DIR=str(tmp_path))
    assert done.returncode != 0 and "README.md" in done.stderr and "train" in done.stderr
    assert not (recipe.out / "prepared").exists() and recipe.calls() == []


@pytest.mark.parametrize("name", ["sst2", "wikitext2", "ptb", "gigaword"])
def test_other_data_than_the_official_is_refused(name, tmp_path):
    recipe = stubbed(tmp_path, name)
    done = recipe.run(ROOT / "examples" / name / "prepare.sh", CHECK_DATA="yes")
    assert done.returncode != 0 and "expected" in done.stderr and "got" in done.stderr
    assert recipe.calls() == []


def test_a_wrong_label_is_refused(tmp_path):
    recipe = stubbed(tmp_path, "subjectivity")
    dev = tmp_path / "data" / "dev.tsv"
    dev.write_text(dev.read_text(encoding="utf-8") + "2\tneither\n", encoding="utf-8")
    done = recipe.run(ROOT / "examples" / "subjectivity" / "prepare.sh")
    assert done.returncode != 0 and "labels are not in 0 1, such as 2" in done.stderr
    assert not (recipe.out / "prepared").exists()


def test_the_pretraining_of_another_recipe_is_taken(tmp_path):
    """Same subwords, no pre-training data, and both stages point to the other folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (stubbed(tmp_path / x, "subjectivity") for x in "ab")
    prepare = ROOT / "examples" / "subjectivity" / "prepare.sh"
    assert first.run(prepare).returncode == 0
    for name in ("teacher_pretrained", "student_pretrained_plain", "student_pretrained_kd"):
        (first.out / f"{name}.pt").touch()
    variables = {"ARGUMENT": "subjectivity", "PRETRAINING": str(first.out)}
    done = second.run(ROOT / "examples" / "run.sh", **variables)
    assert done.returncode == 0, done.stderr
    runs = trainings(second.calls())
    assert sorted(runs) == sorted(["teacher", *(f"student_{name}" for name in STUDENTS)])
    start = runs["student_kd_kd"].checkpoint.finetune_from_model
    assert start == f"{first.out}/student_pretrained_kd.pt"
    model = (first.out / "spm.model").read_bytes()
    assert (second.out / "spm.model").read_bytes() == model and not (second.out / "mono").exists()


def test_regression_and_seeds_have_flags_and_names_of_their_own(tmp_path):
    recipe = stubbed(tmp_path, "sick")
    done = recipe.run(
        ROOT / "examples" / "run.sh", ARGUMENT="sick", LABELS="", SEEDS="1 2", LANES="1"
    )
    assert done.returncode == 0, done.stderr
    recorded = recipe.calls()
    runs = trainings(recorded)
    assert runs["student_kd_kd_seed2"].common.seed == 2 and runs["student_kd_kd"].common.seed == 1
    assert runs["teacher"].criterion.regression_target and runs["teacher"].task.num_classes == 1
    (argv,) = of(recorded, "lightpaff", "evaluate")
    args = build_parser().parse_args(["evaluate", *argv])
    assert len(set(args.name)) == 9 and "two-stage KD, seed 2" in args.name


@pytest.mark.parametrize("name", ["sick", "dialogsum"])
def test_unlabeled_text_is_distilled_with_lambda_one(name, tmp_path):
    recipe = stubbed(tmp_path, name)
    assert recipe.run(ROOT / "examples" / name / "prepare.sh").returncode == 0
    data = recipe.out / "data"
    for folder in ("", "input0", "input1", "label"):  # the stub of fairseq-preprocess writes none
        (data / folder).mkdir(parents=True, exist_ok=True)
        for end in ("bin", "idx"):
            (data / folder / f"valid.{end}").touch()
    for model in ("teacher", "student_kd_kd"):
        (recipe.out / f"{model}.pt").touch()
    text = tmp_path / "text"
    text.write_text("one\tyes\ntwo\tno\nthree\tor\n")
    recipe.calls()
    done = recipe.run(ROOT / "examples" / "unlabeled.sh", ARGUMENT=f"{name} {text}")
    assert done.returncode == 0, done.stderr
    recorded = recipe.calls()
    cfg = trainings(recorded)["student_unlabeled"]
    assert cfg.criterion.kd_lambda == 1 and cfg.task.data == f"{recipe.out}/unlabeled"
    assert cfg.criterion.kd_teacher == f"{recipe.out}/teacher.pt"
    assert cfg.checkpoint.finetune_from_model == f"{recipe.out}/student_kd_kd.pt"
    if name == "sick":
        labels = recipe.out / "unlabeled" / "label" / "train.label"
        assert labels.read_text() == "NEUTRAL\n" * 3
        assert (recipe.out / "text" / "unlabeled2.train").read_text() == "yes\nno\nor\n"
    else:
        (argv,) = of(recorded, "lightpaff", "seq-kd")
        args, flags = build_parser().parse_known_args(["seq-kd", *argv])
        assert args.path == f"{recipe.out}/teacher.pt" and str(args.out) == cfg.task.data
        generation = options.get_generation_parser(default_task="translation")
        told = options.parse_args_and_arch(generation, flags)
        assert told.data == f"{recipe.out}/unlabeled_source" and told.beam == 5
        assert told.truncate_source and told.target_lang == "summary"
        assert len((recipe.out / "text" / "unlabeled.dialogue").read_text().splitlines()) == 3
