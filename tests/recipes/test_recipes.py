"""The recipes: every command they would run is recorded by stubs and parsed by its own parser."""

import gzip
import hashlib
import itertools
import stat
from pathlib import Path

import pytest
import torch
from fairseq import models, options, tasks
from fairseq.data import Dictionary

from lightpaff_fairseq.checkpoints.reading import read_checkpoint
from lightpaff_fairseq.cli.main import build_parser
from lightpaff_fairseq.distill.setting_sources import merge
from lightpaff_fairseq.distill.settings import DistillSettings
from recording import RECIPE, ROOT, STUDENTS, VOCAB, of, trainings
from toy import write_monolingual, write_parallel

TEACHER = RECIPE / "teacher"
SCRIPTS = sorted([*ROOT.glob("examples/**/*.sh"), ROOT / "scripts" / "demo.sh"])


def parameters(cfg, folder):
    """Parameters of a recorded training's model with the dictionary in `folder`."""
    cfg.task.data = str(folder)
    with torch.device("meta"):
        model = models.build_model(cfg.model, tasks.setup_task(cfg.task))
    return sum(p.numel() for p in model.parameters())


def test_the_scripts_are_found():
    assert len(SCRIPTS) >= 9


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_short_strict_and_runnable_from_anywhere(script):
    text = script.read_text()
    assert len(text.splitlines()) <= 40
    sourced = text.startswith("# shellcheck shell=bash")
    assert ("set -euo pipefail" in text) != sourced
    assert "BASH_SOURCE" in text or sourced
    assert not stat.S_IMODE(script.stat().st_mode) & stat.S_IWOTH


def test_all_flags_parse_and_fit_together(complete):
    runs = trainings(complete.recorded)
    pretrained = ("teacher_pretrained", "student_pretrained_plain", "student_pretrained_kd")
    students = [f"student_{name}" for name in STUDENTS]
    assert sorted(runs) == sorted([*pretrained, "teacher", *students])
    for name, cfg in runs.items():
        assert cfg.task._name == ("masked_seq2seq" if name in pretrained else "translation")
        assert cfg.criterion._name == ("kd_mssm" if name in pretrained else "kd_ss")
        distilled = name.endswith("_kd")
        assert cfg.criterion.kd_lambda == (0.5 if distilled else 0)
        teacher = "teacher_pretrained" if name in pretrained else "teacher"
        assert cfg.criterion.kd_teacher == (f"{complete.out}/{teacher}.pt" if distilled else None)
        assert cfg.dataset.required_batch_size_multiple == 1  # T1
        assert cfg.dataset.update_epoch_batch_itr is True  # T3
        assert cfg.optimization.max_update == cfg.lr_scheduler.total_num_update
    for first in ("plain", "kd"):
        for second in ("plain", "kd"):
            start = runs[f"student_{first}_{second}"].checkpoint.finetune_from_model
            assert start == f"{complete.out}/student_pretrained_{first}.pt"


def test_students_differ_in_distillation_only(complete):
    def rest(name):
        argv = next(
            a for a in of(complete.recorded, "fairseq-train") if f"{complete.out}/{name}" in a
        )
        for flag in ("--kd-lambda", "--kd-teacher", "--finetune-from-model", "--save-dir"):
            if flag in argv:
                at = argv.index(flag)
                argv = argv[:at] + argv[at + 2 :]
        return argv

    assert len({tuple(rest(f"student_{name}")) for name in STUDENTS}) == 1
    assert rest("student_pretrained_kd") == rest("student_pretrained_plain")


def test_a_student_fits_its_pretraining_and_is_five_times_smaller(complete, tmp_path):
    """4002 symbols: the recipe's vocabulary with fairseq's specials."""
    runs = trainings(complete.recorded)
    parallel = write_parallel(tmp_path / "p", count=8, words=3997)
    mono = write_monolingual(tmp_path / "m", count=8, words=3997)
    assert len(Dictionary.load(str(mono / "dict.txt"))) == 4002
    student, teacher = (parameters(runs[n], parallel) for n in ("student_kd_kd", "teacher"))
    assert teacher >= 5 * student
    assert parameters(runs["student_pretrained_kd"], mono) == student
    assert parameters(runs["teacher_pretrained"], mono) == teacher


def test_preprocessing_gives_both_stages_one_dictionary_with_the_mask(complete):
    parser = options.get_preprocessing_parser()
    parsed = [parser.parse_args(argv) for argv in of(complete.recorded, "fairseq-preprocess")]
    dictionaries = {path for args in parsed for path in (args.srcdict, args.tgtdict) if path}
    assert len(parsed) == 2 and dictionaries == {f"{complete.out}/spm.dict.txt"}
    assert sorted(args.only_source for args in parsed) == [False, True]
    dictionary = Dictionary.load(dictionaries.pop())
    assert dictionary.symbols[-1] == "<mask>" and len(dictionary) == int(VOCAB) - 3 + 4 + 1
    for args in parsed:
        endings = [".sv", ".en"] if args.source_lang else [""]
        for prefix in filter(None, (args.trainpref, args.validpref, args.testpref)):
            for ending in endings:
                text = Path(f"{prefix}{ending}").read_text(encoding="utf-8")
                pieces = [piece for line in text.splitlines() for piece in line.split()]
                assert pieces and not any(dictionary.index(p) == dictionary.unk() for p in pieces)


def test_evaluation_compares_all_models(complete):
    (argv,) = of(complete.recorded, "lightpaff", "evaluate")
    args = build_parser().parse_args(["evaluate", *argv])
    stems = [path.stem for path in args.path]
    assert stems == [
        "teacher",
        "student_plain_plain",
        "student_kd_plain",
        "student_plain_kd",
        "student_kd_kd",
    ]
    assert len(args.name) == 5 and set(args.compare) <= set(args.name)
    with gzip.open(RECIPE / "data" / "train.tsv.gz", "rt", encoding="utf-8") as whole:
        english = [line.split("\t")[0] for line in itertools.islice(whole, 10)]
    assert args.references[0].read_text(encoding="utf-8").splitlines() == english
    for argv in of(complete.recorded, "lightpaff", "strip"):
        build_parser().parse_args(["strip", *argv])
    assert "the table" in complete.output


def test_the_demo_distills_the_shipped_teacher(recipe):
    done = recipe.run(ROOT / "scripts" / "demo.sh", ARGUMENT="updates=7")
    assert done.returncode == 0, done.stderr
    calls = recipe.calls()
    (argv,) = of(calls, "lightpaff", "distill")
    args = build_parser().parse_args(["distill", *argv])
    given = {k: v for k, v in vars(args).items() if k in DistillSettings.__dataclass_fields__}
    (recipe.out / "data").mkdir()  # fairseq-preprocess is a stub
    settings = merge(args.config, given, args.overrides)
    assert settings.teacher == TEACHER / "teacher.pt"
    assert settings.data == recipe.out / "data" and settings.baseline and settings.updates == 7
    assert not of(calls, "lightpaff", "subwords", "train")
    shipped = (TEACHER / "spm.dict.txt").read_bytes()
    assert (recipe.out / "spm.dict.txt").read_bytes() == shipped


def test_the_shipped_teacher_is_what_its_checksums_say_and_half_precision():
    lines = (TEACHER / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in (line.split() for line in lines)}
    assert set(digests) == {"teacher.pt", "teacher_pretrained.pt", "spm.model", "spm.dict.txt"}
    for name, digest in digests.items():
        assert hashlib.sha256((TEACHER / name).read_bytes()).hexdigest() == digest, name
    symbols = len(Dictionary.load(str(TEACHER / "spm.dict.txt")))
    for name in ("teacher.pt", "teacher_pretrained.pt"):
        assert (TEACHER / name).stat().st_size < 15e6
        tensors = read_checkpoint(TEACHER / name, "test")["model"]
        assert {x.dtype for x in tensors.values() if x.dim() == 2} == {torch.float16}
        assert len(tensors["encoder.embed_tokens.weight"]) == symbols
