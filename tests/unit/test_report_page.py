"""The page of `lightpaff report`: exact values, honest words, plots, and what it refuses."""

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_files import (
    NAMES,
    inner,
    pruning_log,
    recipe,
    rows,
    start,
    sweep,
    training,
    write_log,
)

from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.report.plots import short
from lightpaff_fairseq.report.style import styles
from lightpaff_fairseq.report.summary import summarise

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Cells, texts and ids; every tag that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.ids, self.open, self.tags, self.text = {}, [], [], [], ""
        self.model = None
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        self.model = found.get("data-model", self.model)
        if "data-key" in found:
            self.cells[self.model, found["data-key"]] = found["data-value"]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def named(self, tag):
        return [found for name, found in self.tags if name == tag]


def report(capsys, *argv):
    """What `lightpaff report` makes of a command line: exit code and errors."""
    code = main(["report", *(str(word) for word in argv)])
    return code, capsys.readouterr().err


def made(tmp_path, capsys, *paths):
    out = tmp_path / "report.html"
    code, errors = report(capsys, *paths, "--out", out, "--force")
    assert code == 0, errors
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    out = folder / "report.html"
    paths = [recipe(folder / "polarity"), sweep(folder / "sweep"), pruning_log(folder / "p.log")]
    assert main(["report", *map(str, paths), "--out", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def exact_values(page, results):
    """Every value of the JSON is on the page, in the row of its model or in a note."""
    notes = [found["data-value"] for _, found in page.tags if "data-note" in found]
    for row in results:
        stem = row["path"].rpartition("/")[2].removesuffix(".pt")
        for key, value in row.items():
            if key in ("path", "name"):
                continue
            if (stem, key) in page.cells:
                assert json.loads(page.cells[stem, key]) == value, (stem, key)
            else:
                assert json.dumps(value) in notes, (stem, key)


def test_every_value_of_the_results_is_exact(text):
    page = Page(text)
    exact_values(page, rows())
    assert page.cells["student_kd_kd", "accuracy"] == "78.5"
    assert page.cells["teacher", "sentences_per_s_runs"] == "[45.33, 50.83, 55.08]"
    for line in (
        page.cells[f"{k}-{s}-s{seed}", "seed"]
        for k in ("logits", "hidden")
        for s in ("0.5", "1")
        for seed in (1, 2)
    ):
        assert line in ("1", "2")


def test_the_page_is_self_contained_and_sound(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)), "ids of several plots do not collide"
    assert not page.named("script") and not page.named("img")
    addresses = re.findall(r"""(?:src|href|url\()=?["']?([^"')\s>]+)""", text)
    assert addresses and all(a.startswith(("#", "data:,")) for a in addresses)
    assert {f"#{name}" for name in page.ids} >= {a for a in addresses if a.startswith("#")}
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.named(
        "meta"
    )
    assert text.count("<svg") == text.count("</svg>") and len(text) < 1_500_000


def test_every_plot_is_there_with_words_for_those_who_do_not_see_it(text):
    page = Page(text)
    plots = [found for found in page.named("svg") if found.get("role") == "img"]
    # polarity: 2 tradeoffs, 6 + 4 panels; 2 axes of the sweep; the pruning log: 3
    assert len(plots) == 2 + 6 + 4 + 2 + 3
    for found in plots:
        assert set(found["aria-labelledby"].split()) <= set(page.ids)
    described = re.findall(r"<desc[^>]*>([^<]*)</desc>", text)
    assert "two-stage KD: accuracy 78.5 at 494.123" in " ".join(described)
    for block in re.findall(r"<svg role.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(block)
    assert "training: sparsity" in page.text and "training: distillation loss (bits)" in page.text


def test_numbers_stay_text_and_are_not_rounded(text):
    """Coordinates are cut to a hundredth; a tick as 0.002 is not a coordinate."""
    block = next(
        b for b in re.findall(r"<svg role.*?</svg>", text, re.DOTALL) if "training: nll" in b
    )
    ticks = [float(t) for t in re.findall(r">([\d.]+)</text>", block)]
    assert len(ticks) > 6 and 0.025 in ticks and max(ticks) == 600


def test_a_model_looks_the_same_everywhere_and_no_two_alike():
    looks = styles([*NAMES, *(f"m{i}" for i in range(12)), "a/teacher"])
    others = [look for name, look in looks.items() if not name.endswith("teacher")]
    assert len(set(others)) == len(others) and looks["a/teacher"] == looks["teacher"]
    assert len({(look.marker, look.dash) for look in others}) == len(others), "in grey too"


def test_commands_are_what_was_recorded(text):
    page = Page(text)
    assert (
        "fairseq-train OUT/data \\\n  --arch roberta_tiny \\\n  --adam-betas '(0.9, 0.98)'"
        in page.text
    )
    assert "Flags in results.jsonl" in page.text and "Not recorded in these logs." in page.text
    assert "The command was not recorded" in page.text, "of the log that was given alone"
    assert "pruned to its target at update 400" in page.text


def test_summary_says_what_the_table_says():
    found = summarise(rows())
    assert found.startswith(
        "The best student, two-stage KD, is 6.8 times smaller and 9.7 times faster"
    )
    assert "reaches accuracy 78.50, 98.0 % of the teacher's 80.12." in found
    assert "Without distillation it is 75.50 (no KD): distillation closes 65 % of the gap" in found
    assert "With 1,066 test sentences" in found and "Each row is one training." in found


def test_summary_does_not_flatter():
    worse = copy.deepcopy(rows())
    worse[1]["accuracy"] = 79.0
    assert "Distillation gained nothing here: without it, it is 79.00 (no KD)" in summarise(worse)
    worse[0]["accuracy"] = 70.0
    worse[1]["accuracy"] = 75.5
    assert "no worse than the teacher itself" in summarise(worse)
    ppl = [
        {"name": "teacher", "ppl_token": 59.2, "times_smaller": 1, "times_faster": 1},
        {"name": "small", "ppl_token": 75.9, "times_smaller": 6.0, "times_faster": 0.5},
        {"name": "other", "ppl_token": 85.0, "times_smaller": 6.0, "times_faster": 4.0},
    ]
    found = summarise(ppl)
    assert found.startswith(
        "The best student, small, is 6.0 times smaller than the teacher and reaches"
    )
    assert "75.90; the teacher has 59.20, lower is better." in found
    assert summarise(rows()[:1]) == "" and summarise([{"name": "a"}, {"name": "b"}]) == ""


def test_of_several_seeds_the_mean_counts(tmp_path, capsys):
    results = rows()
    for i, (place, accuracy) in enumerate(((4, 60.5), (1, 77.5)), 1):
        path = results[place]["path"].replace(".pt", "_seed2.pt")
        again = {**results[place], "name": f"{results[place]['name']}, seed 2", "path": path}
        results.insert(place + i, {**again, "accuracy": accuracy})
    found = summarise(results)
    assert "The best student, fine-tuning KD," in found, "not the lucky seed of two-stage KD"
    assert "Without distillation it is 76.50 (no KD)" in found and "up to 2 trainings" in found
    page = Page(made(tmp_path, capsys, recipe(tmp_path / "r", results)))
    assert "gain over no KD (mean of 2)" in page.text and "+1.00" in page.text


def test_the_template_is_installed_with_the_package():
    folder = ROOT / "lightpaff_fairseq"
    others = {p.parent.name for p in folder.rglob("*") if p.is_file() and "py" not in p.suffix}
    assert others == {"report"} and {p.suffix for p in (folder / "report").iterdir()} >= {".j2"}
    packaged = re.search(r"package_data=(.*),\n", (ROOT / "setup.py").read_text())[1]
    assert json.loads(packaged) == {"lightpaff_fairseq.report": ["*.j2"]}


def test_a_sweep_is_summed_up_by_its_means(text):
    page = Page(text)
    assert (
        "8 trainings of 4 points. The best in accuracy is knowledge hidden, soft 1: 73.69"
        in page.text
    )
    assert "(logits, 0.5) has 70.69 (mean of 2 seeds); the teacher 80.50." in page.text
    trainings = [found["data-training"] for _, found in page.tags if "data-training" in found]
    assert "hidden-1-s2" in trainings
    rows_of_the_sweep = [m for m, key in page.cells if key == "valid_accuracy"]
    assert rows_of_the_sweep[0] == "hidden-1-s2" and len(rows_of_the_sweep) == 8, "best first"


@pytest.mark.parametrize("x, shown", [(1.5e6, "1.5 M"), (2000, "2 k"), (0.5, "0.5"), (50, "50")])
def test_short_numbers(x, shown):
    assert short(x) == shown


def test_curves_alone_and_running_trainings_make_a_page(tmp_path, capsys):
    folder = tmp_path / "run"
    write_log(folder / "logs" / "student.log", training(True)[:-3])
    page = Page(made(tmp_path, capsys, folder))
    assert "not finished, as far as the log tells" in page.text and "Learning curves" in page.text
    write_log(folder / "logs" / "student.log", start())
    assert "The logs hold no numbers yet." in Page(made(tmp_path, capsys, folder)).text


def test_names_from_files_are_escaped(tmp_path, capsys):
    results = rows()
    results[1]["name"] = "<script>alert(1)</script> & co"
    page = Page(made(tmp_path, capsys, recipe(tmp_path / "r", results)))
    assert not page.named("script") and "<script>alert(1)</script> & co" in page.text


def test_numbers_that_are_none_are_shown_as_such(tmp_path, capsys):
    results = rows()
    results[2]["accuracy"] = float("nan")
    del results[3]["f1"]
    page = Page(made(tmp_path, capsys, recipe(tmp_path / "r", results)))
    assert page.cells["student_kd_plain", "accuracy"] == "NaN" and "not a number" in page.text
    assert ("student_plain_kd", "f1") not in page.cells


def test_runs_of_equal_names_are_two_sections(tmp_path, capsys):
    text = made(tmp_path, capsys, recipe(tmp_path / "a" / "r"), recipe(tmp_path / "b" / "r"))
    page = Page(text)
    assert [f["data-run"] for f in page.named("section")] == ["a/r", "b/r"]
    assert len(page.ids) == len(set(page.ids))


def test_benchmarks_are_tables_with_exact_values(tmp_path, capsys):
    found = {"family": "bert", "threads": 1, "seconds": {"plain": 0.123456, "kd": 0.25}}
    found |= {"all_seconds": {"plain": [0.1, 0.123456], "kd": [0.25]}, "kd_to_parts": 0.98}
    found |= {"rows": [{"name": "fused", "seconds": 4.0012, "extra_mb": None}]}
    over = {"vocab": {"8000": [{"name": "fused", "seconds": 2.5}], "9000": [{"seconds": 3.5}]}}
    found |= {"curves": over, "bare": [1, 2]}
    (path := tmp_path / "step.json").write_text(json.dumps(found))
    page = Page(made(tmp_path, capsys, path))
    assert (
        page.cells["plain", "seconds"] == "0.123456" and page.cells["kd", "all_seconds"] == "[0.25]"
    )
    assert page.cells["fused", "seconds"] == "4.0012" and page.cells["fused", "extra_mb"] == "null"
    assert page.cells["kd_to_parts", "value"] == "0.98" and page.cells["bare", "value"] == "[1, 2]"
    assert page.cells["8000: fused", "seconds"] == "2.5" and "curves, vocab" in page.text
    assert page.cells["9000: 1", "seconds"] == "3.5"


def test_many_trainings_are_not_drawn_over_each_other(tmp_path, capsys):
    for i in range(17):
        write_log(tmp_path / "r" / "logs" / f"s{i}.log", training(False))
    page = Page(made(tmp_path, capsys, tmp_path / "r"))
    assert "17 trainings are too many for a plot" in page.text


def test_kl_and_sparsity_as_a_file(tmp_path, capsys):
    folder = recipe(tmp_path / "r")
    for kind in ("platon", "magnitude"):
        pruning_log(folder / "logs" / f"pruned_{kind}.log")
    svg = tmp_path / "kl.svg"
    code, errors = report(capsys, folder, "--plot", "kl_sparsity", "--svg", svg)
    assert code == 0, errors
    root = ElementTree.parse(svg).getroot()
    words = [node.text for node in root.iter(f"{SVG}text")]
    assert {"pruned_platon", "pruned_magnitude", "sparsity (% of parameters)"} <= set(words)
    assert "teacher" not in words and "80 at update 600" not in root.find(f"{SVG}title").text
    code, errors = report(
        capsys,
        folder / "logs" / "teacher.log",
        *("--plot", "kl_sparsity"),
        "--svg",
        tmp_path / "b.svg",
    )
    assert code == 2 and "teacher has no kd_loss" in errors and not (tmp_path / "b.svg").exists()


def test_runs_that_do_not_prune_are_compared_by_their_loss(tmp_path, capsys):
    pruned = pruning_log(tmp_path / "pruned.log")
    dense = write_log(tmp_path / "dense.log", training(True))
    flags = ("--plot", "kl_sparsity", "--svg", tmp_path / "kl.svg")
    code, errors = report(capsys, pruned, dense, *flags)
    assert code == 0, errors
    root = ElementTree.parse(tmp_path / "kl.svg").getroot()
    assert {"pruned", "dense"} <= {node.text for node in root.iter(f"{SVG}text")}
    described = root.find(f"{SVG}desc").text
    assert "pruned: 0.8" in described and "dense" not in described
    code, errors = report(capsys, dense, "--plot", "kl_sparsity", "--svg", tmp_path / "b.svg")
    assert code == 2 and "no log has prune_sparsity" in errors


def test_bad_input_is_one_line_with_all_problems(tmp_path, capsys):
    (empty := tmp_path / "empty").mkdir()
    (broken := tmp_path / "broken").mkdir()
    (broken / "results.json").write_text('[\n {"name": "a",\n "params" 3}]')
    (lines := tmp_path / "x.jsonl").write_text('{"name": "a"}\n{"name":\n')
    (odd := tmp_path / "odd.json").write_text("[1]")
    (binary := tmp_path / "b.log").write_bytes(b"\xff\xfe\x00")
    (other := tmp_path / "other.log").write_text("hello\n")
    paths = (tmp_path / "none", empty, broken, lines, odd, binary, other)
    code, errors = report(capsys, *paths, "--out", tmp_path / "o.html")
    assert code == 2 and errors.count("\n") == 1
    for words in (
        f"{tmp_path / 'none'}: no such file or folder",
        f"{empty}: there is nothing to show; looked for results.json",
        "results.json: line 3, column 11: not JSON",
        "x.jsonl: line 2: not JSON",
        "odd.json: expected a list of models",
        "b.log: expected a text file",
        "other.log: expected a log of fairseq-train",
    ):
        assert words in errors
    assert not (tmp_path / "o.html").exists()


def test_flags_that_do_not_fit_are_refused_before_anything_is_read(tmp_path, capsys):
    code, errors = report(capsys, tmp_path / "none")
    assert code == 2 and "--out: expected a file" in errors and "no such file" not in errors
    assert (
        "expected --svg too" in report(capsys, "x", "--out", "o.html", "--plot", "kl_sparsity")[1]
    )
    assert "does not exist" in report(capsys, "x", "--out", tmp_path / "no" / "o.html")[1]
    assert "found a folder" in report(capsys, "x", "--out", tmp_path)[1]


def test_an_existing_page_stays_until_the_new_one_is_whole(tmp_path, capsys):
    (out := tmp_path / "o.html").write_text("old")
    log = write_log(tmp_path / "s.log", [*start(), inner(1, loss=1)])
    code, errors = report(capsys, log, "--out", out)
    assert code == 2 and "exists already; --force overwrites it" in errors
    assert report(capsys, tmp_path / "none", "--out", out, "--force")[0] == 2
    assert out.read_text() == "old"
    assert report(capsys, log, "--out", out, "--force")[0] == 0
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.html", "s.log"]


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named(package, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    log = write_log(tmp_path / "s.log", training(True))
    code, errors = report(capsys, log, "--out", tmp_path / "o.html")
    assert code == 2 and package in errors.lower() and "lightpaff-fairseq[plots]" in errors
