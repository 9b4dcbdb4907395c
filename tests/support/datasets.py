"""Small data in the form that each recipe asks its user for."""

import gzip
import itertools
from pathlib import Path

from recording import RECIPE, ROOT

FAMILIES = {
    "bert": ("sentence_polarity", "subjectivity", "sick", "sst2", "qqp"),
    "gpt2": ("wikitext2", "wikitext103", "ptb"),
    "mass": ("wmt16_en_de", "wmt16_en_ro", "gigaword", "dialogsum", RECIPE.name),
}
RECIPES = {name: family for family, names in FAMILIES.items() for name in names}
FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/prepare.sh"))


def texts(count):
    """Sentences of two languages: `count` of each."""
    with gzip.open(RECIPE / "data" / "train.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.split("\t")[:2] for line in itertools.islice(file, count)]
    repeated = itertools.islice(itertools.cycle(rows), count)
    return [list(side) for side in zip(*repeated, strict=True)]


def write(path, *columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join("\t".join(row) + "\n" for row in zip(*columns, strict=True))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines, encoding="utf-8")


def labels(names, count):
    return list(itertools.islice(itertools.cycle(names), count))


def labeled(folder):
    for split, count, end in (("train", 400, ".tsv.gz"), ("dev", 9, ".tsv"), ("test", 11, ".tsv")):
        write(folder / f"{split}{end}", labels("01", count), texts(count)[0])


def pairs(folder):
    for split, count in (("train", 400), ("dev", 9), ("test", 11)):
        names = labels(["NEUTRAL", "ENTAILMENT", "CONTRADICTION"], count)
        write(folder / f"{split}.tsv", names, labels(["1.5", "4"], count), *texts(count))


def glue_sentences(folder):
    for split, count in (("train", 1400), ("dev", 9)):
        write(
            folder / f"{split}.tsv", ["sentence", *texts(count)[0]], ["label", *labels("01", count)]
        )


def glue_pairs(folder):
    for split, count in (("train", 10400), ("dev", 9)):
        numbers = [str(i) for i in range(count + 1)]
        one, two = texts(count)
        questions = (
            ["question1", *one],
            ["question2", *two],
            ["is_duplicate", *labels("01", count)],
        )
        write(folder / f"{split}.tsv", numbers, numbers, numbers, *questions)


def language(folder):
    for split, count in (("train", 400), ("valid", 9), ("test", 11)):
        text = [" ", *texts(count)[0]]  # a blank line, as WikiText has them
        write(folder / f"wiki.{split}.tokens.gz", text)
        write(folder / f"ptb.{split}.txt", text)


def parallel(folder):
    english, other = texts(400)
    write(folder / "train.en", english)
    for end in ("de", "ro"):
        write(folder / f"train.{end}", other)


def headlines(folder):
    for name, count in (("train", 400), ("valid", 9)):
        for side, text in zip(("article", "title"), texts(count), strict=True):
            end = "" if name == "train" else ".filter"
            write(folder / "train" / f"{name}.{side}{end}.txt", text)
    for name, text in zip(("input", "task1_ref0"), texts(11), strict=True):
        write(folder / "Giga" / f"{name}.txt", text)


def dialogues(folder):
    for split, count, end in (("train", 400, ".gz"), ("dev", 9, ""), ("test", 11, "")):
        for side, text in zip(("dialogue", "summary"), texts(count), strict=True):
            write(folder / f"{split}.{side}{end}", text)
    write(folder / "test.summary.refs.tsv", *[texts(11)[0]] * 3)


def tatoeba(folder):
    for split, count in (("train", 400), ("valid", 10), ("test", 11)):
        write(folder / f"{split}.tsv.gz", *texts(count))


WRITERS = {
    RECIPE.name: tatoeba,
    "sentence_polarity": labeled,
    "subjectivity": labeled,
    "sick": pairs,
    "sst2": glue_sentences,
    "qqp": glue_pairs,
    "wikitext2": language,
    "wikitext103": language,
    "ptb": language,
    "wmt16_en_de": parallel,
    "wmt16_en_ro": parallel,
    "gigaword": headlines,
    "dialogsum": dialogues,
}


def write_data(name: str, folder: Path) -> dict[str, str]:
    """Writes a recipe's data and a general corpus; the variables that name them."""
    WRITERS[name](folder / "data")
    if name == RECIPE.name:
        return {"TSV": str(folder / "data")}
    for split, count in (("train", 300), ("valid", 30)):
        write(folder / "corpus" / f"{split}.txt", texts(count)[0])
    return {"DATA_DIR": str(folder / "data"), "CORPUS_DIR": str(folder / "corpus")}
