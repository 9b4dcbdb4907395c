"""Text, and the subwords, binarized data and models of a student and a teacher of its own."""

from dataclasses import replace

import sentencepiece
from fairseq.data import Dictionary

import toy
from caching import build_cache
from cases import CASES
from datasets import texts
from lightpaff_fairseq.cli.main import main
from setting import Setting

SIZES = {"student": 120, "teacher": 190}
LANGS = ("--source-lang", "sv", "--target-lang", "en")
LINES = 24


class World:
    """Text, and both models' subwords, binarized data and checkpoints."""

    def __init__(self, folder):
        self.folder = folder
        self.text = ("--text", folder / "english")
        (folder / "english").write_text("\n".join(texts(300)[1]), encoding="utf-8")
        (folder / "text").write_text("\n".join(texts(400)[0] + texts(400)[1]), encoding="utf-8")
        self.models, self.built = {}, {}
        for side, size in SIZES.items():
            out = folder / side
            argv = ("train", "--vocab", size, "--out", out, folder / "text")
            assert main(["subwords", *map(str, argv)]) == 0
            self.models[side] = sentencepiece.SentencePieceProcessor(model_file=f"{out}.model")
        rows = zip(*texts(2 * LINES), strict=True)
        short = [row for row in rows if max(map(len, map(self.models["student"].encode, row))) < 31]
        self.lines = [list(side) for side in zip(*short[:LINES], strict=True)]

    def encoded(self, side, lines):
        dictionary = Dictionary.load(f"{self.folder / side}.dict.txt")
        rows = [self.models[side].encode(line, out_type=str) for line in lines]
        return [[*map(dictionary.index, row), dictionary.eos()] for row in rows]

    def write(self, side, name):
        """Binarize the lines; returns what `Case.write` has to be."""

        def write(data, words):
            dictionary = Dictionary.load(f"{self.folder / side}.dict.txt")
            data.mkdir(parents=True)
            if name == "kd_lm":
                dictionary.save(str(data / "dict.txt"))
                toy.write_split(data / "train", self.encoded(side, self.lines[1]))
                return data
            for lang, lines in zip(("sv", "en"), self.lines, strict=True):
                dictionary.save(str(data / f"dict.{lang}.txt"))
                toy.write_split(data / f"train.sv-en.{lang}", self.encoded(side, lines))
            return data

        return write

    def setting(self, side, name):
        if (side, name) not in self.built:
            case = next(case for case in CASES if case.name == name)
            case = replace(case, write=self.write(side, name))
            self.built[side, name] = Setting(case, self.folder / f"{side}_{name}")
        return self.built[side, name]

    def map(self, name, teacher="teacher", student="student", *flags):
        """Run the command; return its exit code and its file."""
        out = self.folder / f"{teacher}_{student}_{name}.json"
        argv = [
            *("--teacher-data", self.setting(teacher, name).data),
            *("--teacher-model", f"{self.folder / teacher}.model"),
            *("--data", self.setting(student, name).data),
            *("--model", f"{self.folder / student}.model"),
            *("--out", out, "--force", *(LANGS if name == "kd_ss" else ())),
            *flags,
        ]
        return main(["vocabulary-map", *map(str, argv)]), out

    def cache(self, folder, name, path, *flags):
        """Build a cache of the teacher for the student's data, with a map."""
        other = self.setting("teacher", name)
        own = ("--path", other.path, "--kd-vocabulary-map", path)
        assert build_cache(self.setting("student", name), folder, *own, *flags) == 0
        return folder
