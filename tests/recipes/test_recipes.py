"""The scripts of the recipes, and tatoeba_sv_en: its subwords, its teacher, and the demo."""

import hashlib
import stat
from pathlib import Path

import pytest
import torch
from fairseq import options
from fairseq.data import Dictionary

from lightpaff_fairseq.checkpoints.reading import read_checkpoint
from recording import RECIPE, ROOT, distillations, of

TEACHER = RECIPE / "teacher"
SCRIPTS = sorted([*ROOT.glob("examples/**/*.sh"), ROOT / "scripts" / "demo.sh"])


def test_the_scripts_are_found():
    assert len(SCRIPTS) >= 9


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_short_strict_and_runnable_from_anywhere(script):
    text = script.read_text()
    assert len(text.splitlines()) <= 40
    sourced = text.startswith("# shellcheck shell=bash")
    assert ("set -euo pipefail" in text) != sourced
    assert "BASH_SOURCE" in text or sourced or script.parent.name == "cluster"  # read no file
    assert not stat.S_IMODE(script.stat().st_mode) & stat.S_IWOTH


def test_all_text_is_in_the_pieces_of_the_dictionary(recipe):
    done = recipe.run("prepare.sh", ENCODE="", VOCAB="200")
    assert done.returncode == 0, done.stderr
    parser = options.get_preprocessing_parser()
    parsed = [parser.parse_args(argv) for argv in of(recipe.calls(), "fairseq-preprocess")]
    assert sorted(args.only_source for args in parsed) == [False, True]
    dictionary = Dictionary.load(f"{recipe.out}/spm.dict.txt")
    for args in parsed:
        endings = [".sv", ".en"] if args.source_lang else [""]
        for prefix in filter(None, (args.trainpref, args.validpref, args.testpref)):
            for ending in endings:
                text = Path(f"{prefix}{ending}").read_text(encoding="utf-8")
                pieces = [piece for line in text.splitlines() for piece in line.split()]
                assert pieces and not any(dictionary.index(p) == dictionary.unk() for p in pieces)


def test_the_demo_distills_the_shipped_teacher(recipe):
    done = recipe.run("../../scripts/demo.sh", ARGUMENT="updates=7")
    assert done.returncode == 0, done.stderr
    calls = recipe.calls()
    settings = distillations(calls)["distilled"]
    assert settings.teacher == TEACHER / "teacher.pt"
    assert settings.data == recipe.out / "data" and settings.baseline and settings.updates == 7
    assert settings.serve == "ctranslate2:int8"
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
