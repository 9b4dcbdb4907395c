"""The result of a distillation: teacher, students and the served student in one table."""

import json
from pathlib import Path
from typing import Any

from ..evaluation.classification import NAIVE_BAYES
from ..evaluation.markdown_table import RATIOS, SIZE, Column, decimals, format_table
from ..evaluation.model_rows import Row
from ..export.export_request import RECORD
from .commands import HYPOTHESES, SERVED
from .layout import REFERENCES
from .settings import NONE, DistillSettings

EXAMPLES = 3
QUALITIES = {  # key of a result -> title; the first that a row has is the measure of the share
    "bleu": "BLEU",
    "ppl_token": "ppl/token",
    "accuracy": "accuracy",
    "pearson": "Pearson",
}
LOWER_IS_BETTER = ("ppl_token",)
NOTE = (
    "times smaller: by parameters, of the served student by file; times faster: on one thread, in "
    "batches of 64"
)
PART_NOTE = (
    "the served student and its share of the teacher's quality: on the first {:,} of {:,} test "
    "sentences"
)
CUT_NOTE = "times smaller: than the teacher with all tokens; times faster: than the"
BEAM_NOTE = (
    "served with the fastest beam that is at most {:g} BLEU below beam 5 in fairseq on the "
    "validation split; its time includes tokenization"
)
SPEEDS = {"sentences_per_s": "sentences/s", "tokens_per_s": "tokens/s"}


def summary(settings: DistillSettings) -> str:
    """Return the table, example translations, and where everything is."""
    out = Path(str(settings.out))
    rows = json.loads((out / "results.json").read_text(encoding="utf-8"))
    quality = next(key for key in QUALITIES if key in rows[0])
    speed = next(key for key in SPEEDS if key in rows[0])
    table = [_row(row, rows[0], quality, row[speed]) for row in rows]
    benchmark, notes = out / "benchmark.json", []
    if benchmark.exists():
        measured = json.loads(benchmark.read_text(encoding="utf-8"))
        notes, timed = [NOTE], measured["rows"]
        scored, all_of_them = measured["sentences"], rows[0].get("sentences", 0)
        if scored < all_of_them:
            notes.append(PART_NOTE.format(scored, all_of_them))
        _take_speeds(table, timed)
        if settings.keep_tokens is not None:
            notes.append(f"{CUT_NOTE} {table[1]['name']}")
        table.append(_served_row(timed, quality, out, table[0]["size_mb"]))
        if "beam" in table[-1]["name"]:
            notes.append(BEAM_NOTE.format(settings.max_drop))
    if "naive_bayes" in rows[0]:
        notes.append(f"{NAIVE_BAYES}: accuracy {rows[0]['naive_bayes']:.1f}")
    columns = [
        *SIZE,
        Column(QUALITIES[quality], "quality", decimals(1)),
        Column("of the teacher's", "share", lambda value: f"{value:.0%}"),
        Column(SPEEDS[speed], "speed", decimals(0)),
        *RATIOS,
    ]
    lines = [format_table(table, columns), *notes, *_examples(out, settings)]
    return "\n".join([*lines, *_places(out, settings)])


def _row(row: Row, teacher: Row, quality: str, speed: float) -> Row:
    kept = ("name", "params", "size_mb", "times_smaller", "times_faster")
    share = _share(row[quality], teacher[quality], quality)
    values = {"quality": row[quality], "share": share, "speed": speed}
    return {key: row[key] for key in kept} | values


def _take_speeds(table: list[Row], timed: list[Row]) -> None:
    """Take the speeds of the benchmark, which are medians; all students are of one shape."""
    by_name = {row["name"]: row for row in timed}
    for row in table:
        role = "teacher" if row["name"].startswith("teacher") else "student"
        measured = by_name[f"{role} fairseq"]
        row |= {"speed": measured["per_s"], "times_faster": measured["times_teacher"]}


def _share(value: float, teacher: float, quality: str) -> float:
    one, other = (teacher, value) if quality in LOWER_IS_BETTER else (value, teacher)
    return one / other if other else 0.0


def _served_row(rows: list[Row], quality: str, out: Path, size_mb: float) -> Row:
    """Return the row of the served student, relative to the teacher in fairseq.

    Args:
        size_mb: of the teacher's file, with all its tokens.
    """
    teacher, served = rows[0], rows[-1]
    name = str(served["name"])
    if name.startswith(SERVED):  # it was timed from its folder, with the beam of its use.py
        record = json.loads((out / SERVED / RECORD).read_text(encoding="utf-8"))
        kinds = filter(None, (record["format"], record["quantization"]))
        name = f"student {'-'.join(kinds)}, beam {record['beam']}"
    return {
        "name": name,
        "params": served["params"],
        "size_mb": served["size_mb"],
        "quality": served["quality"],
        "share": _share(served["quality"], teacher["quality"], quality),
        "speed": served["per_s"],
        "times_smaller": size_mb / served["size_mb"],
        "times_faster": served["times_teacher"],
    }


def _examples(out: Path, settings: DistillSettings) -> list[str]:
    """Return some test sentences, translated by teacher and student."""
    folder = out / HYPOTHESES
    if not folder.is_dir():
        return []
    reference = (settings.references or out / REFERENCES).read_text(encoding="utf-8").split("\n")
    texts = {
        name: (folder / f"{name}.txt").read_text(encoding="utf-8").split("\n")
        for name in ("teacher", "student")
    }
    lines = ["", "Examples from the test split:"]
    for i in range(min(EXAMPLES, len(reference) - 1)):
        lines.append(f"  reference  {reference[i]}")
        lines += [f"  {name:<10} {text[i]}" for name, text in texts.items()]
    return lines


def _places(out: Path, settings: DistillSettings) -> list[str]:
    places: dict[str, Any] = {"student": "student.pt (fairseq)"}
    if settings.serve != NONE:
        places["served"] = "served/ (see its use.py)"
    places |= {"report": "report.html", "commands": "commands.sh"}
    return ["", *(f"{name:<9} {out}/{place}" for name, place in places.items())]
