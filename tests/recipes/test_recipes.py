"""The recipes: every command they would run is recorded by stubs and parsed by its own parser."""

import gzip
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq import models, options, tasks
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from toy import write_monolingual, write_parallel

from lightpaff_fairseq.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "examples" / "tatoeba_sv_en"
SCRIPTS = sorted([*ROOT.glob("examples/**/*.sh"), ROOT / "scripts" / "demo.sh"])
VOCAB = "200"
STUDENTS = ("plain_plain", "kd_plain", "plain_kd", "kd_kd")

# Records its arguments, then makes the files that the next step looks for.
STUB = f"""#!{sys.executable}
import json, os, sys, time
from pathlib import Path
name, argv = Path(sys.argv[0]).name, sys.argv[1:]
after = lambda flag: Path(argv[argv.index(flag) + 1])
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps([name, *argv]) + "\\n")
if name == "fairseq-train":
    model = after("--save-dir").name
    (after("--save-dir") / "pid").write_text(str(os.getpid()))
    if model == os.environ.get("HANG"):
        time.sleep(60)
    if model == os.environ.get("FAIL"):
        print("ValueError: --made-up: wrong")
        sys.exit(1)
    (after("--save-dir") / "checkpoint_best.pt").touch()
    print("INFO | fairseq_cli.train | {{'optimization': {{'max_update': 60}}}}")
    print('INFO | valid | {{"epoch": 2, "valid_ppl": "9.5", "valid_num_updates": "60"}}')
elif argv[0] == "strip":
    after("--out").touch()
elif argv[0] == "evaluate":
    after("--out").write_text("[]")
    print("the table")
"""


@pytest.fixture
def recipe(tmp_path):
    """Runs scripts with stubs for the commands; `calls` returns what was recorded since."""
    binaries, tsv = tmp_path / "bin", tmp_path / "tsv"
    binaries.mkdir()
    tsv.mkdir()
    for name in ("fairseq-train", "fairseq-preprocess", "lightpaff"):
        (binaries / name).write_text(STUB)
        (binaries / name).chmod(0o755)
    (binaries / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (binaries / "python").chmod(0o755)
    for split, lines in (("train", 400), ("valid", 10), ("test", 10)):
        with gzip.open(RECIPE / "data" / "train.tsv.gz", "rt", encoding="utf-8") as whole:
            head = list(itertools.islice(whole, lines))
        with gzip.open(tsv / f"{split}.tsv.gz", "wt", encoding="utf-8") as file:
            file.writelines(head)
    environment = {**os.environ, "BIN": str(binaries), "TSV": str(tsv), "VOCAB": VOCAB}
    environment.update(OUT=str(tmp_path / "a folder"), RECORD=str(tmp_path / "record"))
    record = tmp_path / "record"

    def run(script, **variables):
        return subprocess.run(
            ["bash", str(script)],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            cwd="/",
        )

    def calls():
        lines = record.read_text().splitlines() if record.exists() else []
        record.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    out = Path(environment["OUT"])
    return SimpleNamespace(run=run, calls=calls, out=out, environment=environment)


def of(calls, *name):
    return [call[len(name) :] for call in calls if tuple(call[: len(name)]) == name]


def parse_training(argv):
    """fairseq-train's configuration; an unknown flag or a wrong value ends in SystemExit."""
    parser = options.get_training_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, argv))


def trainings(calls):
    configs = [parse_training(argv) for argv in of(calls, "fairseq-train")]
    return {Path(cfg.checkpoint.save_dir).name: cfg for cfg in configs}


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
    sourced = script.name in ("common.sh", "settings.sh")
    assert ("set -euo pipefail" in text) != sourced
    assert "BASH_SOURCE" in text
    assert not stat.S_IMODE(script.stat().st_mode) & stat.S_IWOTH


@pytest.fixture
def finished(recipe):
    done = recipe.run(RECIPE / "run.sh")
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(**vars(recipe), output=done.stdout, recorded=recipe.calls())


def test_all_flags_parse_and_fit_together(finished):
    found = trainings(finished.recorded)
    pretrained = ("teacher_pretrained", "student_pretrained_plain", "student_pretrained_kd")
    students = [f"student_{name}" for name in STUDENTS]
    assert sorted(found) == sorted([*pretrained, "teacher", *students])
    for name, cfg in found.items():
        assert cfg.task._name == ("masked_seq2seq" if name in pretrained else "translation")
        assert cfg.criterion._name == ("kd_mssm" if name in pretrained else "kd_ss")
        distilled = name.endswith("_kd")
        assert cfg.criterion.kd_lambda == (0.5 if distilled else 0)
        teacher = "teacher_pretrained" if name in pretrained else "teacher"
        assert cfg.criterion.kd_teacher == (f"{finished.out}/{teacher}.pt" if distilled else None)
        assert cfg.dataset.required_batch_size_multiple == 1  # T1
        assert cfg.dataset.update_epoch_batch_itr is True  # T3
        assert cfg.optimization.max_update == cfg.lr_scheduler.total_num_update
    for first in ("plain", "kd"):
        for second in ("plain", "kd"):
            start = found[f"student_{first}_{second}"].checkpoint.finetune_from_model
            assert start == f"{finished.out}/student_pretrained_{first}.pt"


def test_students_differ_in_distillation_only(finished):
    def rest(name):
        argv = next(
            a for a in of(finished.recorded, "fairseq-train") if f"{finished.out}/{name}" in a
        )
        for flag in ("--kd-lambda", "--kd-teacher", "--finetune-from-model", "--save-dir"):
            if flag in argv:
                at = argv.index(flag)
                argv = argv[:at] + argv[at + 2 :]
        return argv

    assert len({tuple(rest(f"student_{name}")) for name in STUDENTS}) == 1
    assert rest("student_pretrained_kd") == rest("student_pretrained_plain")


def test_a_student_fits_its_pretraining_and_is_five_times_smaller(finished, tmp_path):
    """4002 symbols: the recipe's vocabulary with fairseq's specials."""
    found = trainings(finished.recorded)
    parallel = write_parallel(tmp_path / "p", count=8, words=3997)
    mono = write_monolingual(tmp_path / "m", count=8, words=3997)
    assert len(Dictionary.load(str(mono / "dict.txt"))) == 4002
    student, teacher = (parameters(found[n], parallel) for n in ("student_kd_kd", "teacher"))
    assert teacher >= 5 * student
    assert parameters(found["student_pretrained_kd"], mono) == student
    assert parameters(found["teacher_pretrained"], mono) == teacher


def test_preprocessing_gives_both_stages_one_dictionary_with_the_mask(finished):
    parser = options.get_preprocessing_parser()
    parsed = [parser.parse_args(argv) for argv in of(finished.recorded, "fairseq-preprocess")]
    dictionaries = {path for args in parsed for path in (args.srcdict, args.tgtdict) if path}
    assert len(parsed) == 2 and dictionaries == {f"{finished.out}/spm.dict.txt"}
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


def test_evaluation_compares_all_models(finished):
    (argv,) = of(finished.recorded, "lightpaff", "evaluate")
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
    assert args.references.read_text(encoding="utf-8").splitlines() == english
    for argv in of(finished.recorded, "lightpaff", "strip"):
        build_parser().parse_args(["strip", *argv])
    assert "the table" in finished.output


def test_progress_is_for_people(finished):
    lines = [line for line in finished.output.splitlines() if line.strip().startswith("teacher ")]
    assert (
        len(lines) == 1 and "epoch  2" in lines[0] and "60 of 60" in lines[0] and "9.50" in lines[0]
    )


def test_a_second_run_reuses_everything(finished):
    again = finished.run(RECIPE / "run.sh")
    assert again.returncode == 0 and finished.calls() == []
    assert again.stdout.count("reused") == 9 and "the table" in again.stdout


def test_other_flags_are_not_taken_for_the_finished_model(finished):
    changed = finished.run(RECIPE / "pretrain.sh", STUDENT_PRETRAIN_UPDATES="7")
    assert changed.returncode == 1 and finished.calls() == []
    assert "other flags" in changed.stderr and "7" in changed.stderr


def test_a_failure_says_why_and_a_new_run_continues(recipe):
    failed = recipe.run(RECIPE / "run.sh", FAIL="student_pretrained_kd")
    assert failed.returncode != 0 and "--made-up: wrong" in failed.stderr
    first = trainings(recipe.calls())
    assert "teacher" in first and "student_kd_kd" not in first
    again = recipe.run(RECIPE / "run.sh")
    assert again.returncode == 0, again.stderr
    second = trainings(recipe.calls())
    assert "teacher" not in second and {"student_pretrained_kd", "student_kd_kd"} <= set(second)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("model", ["teacher", "student_plain_plain"])
def test_stopping_leaves_no_training_behind(recipe, stop, model):
    """Ctrl-C or kill: both lanes end, and nobody goes on writing into their folders."""
    run = subprocess.Popen(
        ["bash", str(RECIPE / "run.sh")],
        env={**recipe.environment, "HANG": model},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pid_file = recipe.out / model / "pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    training = int(pid_file.read_text())
    os.kill(run.pid, stop)
    assert run.wait(timeout=20) != 0
    wait_for(lambda: not alive(training))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_trainings_of_one_model_are_refused(recipe):
    recipe.run(RECIPE / "prepare.sh")
    first = subprocess.Popen(
        ["bash", str(RECIPE / "teacher.sh")],
        env={**recipe.environment, "HANG": "teacher_pretrained"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: (recipe.out / "teacher_pretrained" / "pid").exists())
        second = recipe.run(RECIPE / "teacher.sh")
        assert second.returncode == 1 and "being trained already" in second.stderr
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def test_the_demo_is_the_recipe_at_a_smaller_scale(recipe, tmp_path):
    done = recipe.run(ROOT / "scripts" / "demo.sh")
    assert done.returncode == 0, done.stderr
    found = trainings(recipe.calls())
    assert {"teacher", "student_plain_plain", "student_kd_kd"} < set(found)
    assert not {"student_kd_plain", "student_plain_kd"} & set(found)
    assert "the table" in done.stdout and (recipe.out / "results.json").exists()
    parallel = write_parallel(tmp_path / "p", count=8, words=3997)
    assert parameters(found["teacher"], parallel) >= 5 * parameters(
        found["student_kd_kd"], parallel
    )
