"""The page of `lightpaff report`: exact values, honest words, plots, and what it refuses."""

import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.provenance import SETTINGS
from lightpaff_fairseq.report.settings_in_words import WORDS
from report_files import (
    inner,
    provenance,
    pruning_log,
    recipe,
    report,
    rows,
    start,
    start_of_version_0_1,
    sweep,
    training,
    write_log,
)

ROOT = Path(__file__).resolve().parents[3]
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
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.model = attributes.get("data-model", self.model)
        if "data-key" in attributes:
            self.cells[self.model, attributes["data-key"]] = attributes["data-value"]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def write_page(tmp_path, capsys, *paths):
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
    notes = [attributes["data-value"] for _, attributes in page.tags if "data-note" in attributes]
    for row in results:
        stem = row["path"].rpartition("/")[2].removesuffix(".pt")
        for key, value in row.items():
            if key in ("path", "name", "group"):
                continue
            if (stem, key) in page.cells:
                assert json.loads(page.cells[stem, key]) == value, (stem, key)
            else:
                assert json.dumps(value) in notes, (stem, key)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_every_plot_is_there_with_words_for_those_who_do_not_see_it(text):
    page = Page(text)
    plots = [attributes for attributes in page.named("svg") if attributes.get("role") == "img"]
    # polarity: 2 tradeoffs, 6 + 4 panels; 2 axes of the sweep; the pruning log: 3
    assert len(plots) == 2 + 6 + 4 + 2 + 3
    for attributes in plots:
        assert set(attributes["aria-labelledby"].split()) <= set(page.ids)
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


def test_commands_are_what_was_recorded(text):
    page = Page(text)
    assert (
        "fairseq-train OUT/data \\\n  --arch roberta_tiny \\\n  --adam-betas '(0.9, 0.98)'"
        in page.text
    )
    assert "Flags in results.jsonl" in page.text and "Not recorded in these logs." in page.text
    assert "The command was not recorded" in page.text, "of the log that was given alone"
    assert "pruned to its target at update 400" in page.text


@pytest.mark.slow
def test_of_several_seeds_the_table_has_means_and_a_second_one_all_runs(tmp_path, capsys):
    results = rows()
    path = results[4]["path"].replace(".pt", "_seed2.pt")
    again = {"name": "another name", "seed": 2, "path": path, "accuracy": 60.5}
    results.append({**results[4], **again})
    page = Page(write_page(tmp_path, capsys, recipe(tmp_path / "r", results)))
    # the first seed's name stands for the model; its own row comes later and overwrites cells
    assert "69.50" in page.text and "± 12.73 (60.50–78.50)" in page.text
    assert "86.7 %" in page.text, "of the teacher's 80.125"
    assert page.cells["student_kd_kd", "gain over no KD"] == '"-6.00"'
    assert page.cells["student_kd_kd", "seeds"] == "2" and page.cells["teacher", "seeds"] == "1"
    assert page.cells["student_kd_kd_seed2", "accuracy"] == "60.5"
    assert page.cells["student_kd_kd", "accuracy"] == "78.5", "of the first run alone"
    assert "another name" in page.text and "Every training run" in page.text


@pytest.mark.slow
def test_the_table_has_shares_of_the_teacher_and_minutes(text):
    page = Page(text)
    assert page.cells["student_kd_kd", "kept"] == '"98.0 %"'
    assert page.cells["student_kd_kd", "minutes"] == "30.0"  # 600 updates of 3 s
    assert page.cells["teacher", "kept"] == '"100.0 %"'
    assert ("teacher_pretrained", "minutes") not in page.cells
    assert 'class="best"' not in text


def test_the_template_is_installed_with_the_package():
    folder = ROOT / "lightpaff_fairseq"
    files = {p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    others = {p.parent.name for p in files if p.name != "py.typed"}
    assert others == {"report"} and {p.suffix for p in (folder / "report").iterdir()} >= {".j2"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = project["tool"]["setuptools"]["package-data"]
    assert packaged.pop("lightpaff_fairseq") == ["py.typed"]
    assert packaged == {"lightpaff_fairseq.report": ["*.j2"]}


def test_a_sweep_is_summed_up_by_its_means(text):
    page = Page(text)
    assert "8 runs of 4 points, accuracy 70.69 to 73.69; the base point" in page.text
    assert "(logits, 0.5) has 70.69 (mean of 2 seeds); the teacher 80.50." in page.text
    trainings = [
        attributes["data-training"] for _, attributes in page.tags if "data-training" in attributes
    ]
    assert "hidden-1-s2" in trainings
    rows_of_the_sweep = [m for m, key in page.cells if key == "valid_accuracy"]
    assert rows_of_the_sweep[0] == "hidden-1-s2" and len(rows_of_the_sweep) == 8, "best first"


@pytest.mark.slow
def test_curves_alone_and_running_trainings_make_a_page(tmp_path, capsys):
    folder = tmp_path / "run"
    write_log(folder / "logs" / "student.log", training(True)[:-3])
    page = Page(write_page(tmp_path, capsys, folder))
    assert "not finished, as far as the log tells" in page.text and "Learning curves" in page.text
    write_log(folder / "logs" / "student.log", start())
    assert "The logs hold no numbers yet." in Page(write_page(tmp_path, capsys, folder)).text


def test_a_log_of_version_0_1_makes_a_page_that_names_what_it_lacks(tmp_path, capsys):
    lines = [*start_of_version_0_1(), *training(True)[3:]]
    page = Page(write_page(tmp_path, capsys, write_log(tmp_path / "old.log", lines)))
    assert (
        "no configuration in the log · 30 min · 1,234 parameters · 600 updates logged" in page.text
    )
    assert "Learning curves: training" in page.text and "training: distillation" in page.text
    assert "The command was not recorded." in page.text


def test_settings_are_words(tmp_path, capsys):
    settings = {"criterion.kd_lambda": 0.25, "optimization.lr": [0.0005], "x.prune_end": 60000}
    recorded = {"command": "fairseq-train data --kd-lambda 0.25", "configuration": settings}
    lines = [*start_of_version_0_1(), provenance(**recorded), inner(1, loss=1)]
    page = Page(write_page(tmp_path, capsys, write_log(tmp_path / "s.log", lines)))
    words = " ".join(page.text.split())
    assert "weight of distillation (lambda)0.25 learning rate0.0005 pruning: end60,000" in words
    assert "kd_lambda" not in page.text and "--kd-lambda 0.25" in page.text


def test_every_recorded_setting_has_words():
    settings = [f"{section}.{name}" for section, names in SETTINGS.items() for name in names]
    assert len(settings) > 15 and not [key for key in settings if key not in WORDS]


@pytest.mark.slow
def test_names_from_files_are_escaped(tmp_path, capsys):
    results = rows()
    results[1]["name"] = "<script>alert(1)</script> & co"
    page = Page(write_page(tmp_path, capsys, recipe(tmp_path / "r", results)))
    assert not page.named("script") and "<script>alert(1)</script> & co" in page.text


@pytest.mark.slow
def test_numbers_that_are_none_are_shown_as_such(tmp_path, capsys):
    results = rows()
    results[2]["accuracy"] = float("nan")
    del results[3]["f1"]
    page = Page(write_page(tmp_path, capsys, recipe(tmp_path / "r", results)))
    assert page.cells["student_kd_plain", "accuracy"] == "NaN" and "not a number" in page.text
    assert ("student_plain_kd", "f1") not in page.cells


@pytest.mark.slow
def test_runs_of_equal_names_are_two_sections(tmp_path, capsys):
    text = write_page(tmp_path, capsys, recipe(tmp_path / "a" / "r"), recipe(tmp_path / "b" / "r"))
    page = Page(text)
    assert [f["data-run"] for f in page.named("section")] == ["a/r", "b/r"]
    assert len(page.ids) == len(set(page.ids))


def test_benchmarks_are_tables_with_exact_values(tmp_path, capsys):
    attributes = {"family": "bert", "threads": 1, "seconds": {"plain": 0.123456, "kd": 0.25}}
    attributes |= {"all_seconds": {"plain": [0.1, 0.123456], "kd": [0.25]}, "kd_to_parts": 0.98}
    attributes |= {"rows": [{"name": "fused", "seconds": 4.0012, "extra_mb": None}]}
    over = {"vocab": {"8000": [{"name": "fused", "seconds": 2.5}], "9000": [{"seconds": 3.5}]}}
    attributes |= {"curves": over, "bare": [1, 2]}
    (path := tmp_path / "step.json").write_text(json.dumps(attributes))
    page = Page(write_page(tmp_path, capsys, path))
    assert (
        page.cells["plain", "seconds"] == "0.123456" and page.cells["kd", "all_seconds"] == "[0.25]"
    )
    assert page.cells["fused", "seconds"] == "4.0012" and page.cells["fused", "extra_mb"] == "null"
    assert page.cells["kd_to_parts", "value"] == "0.98" and page.cells["bare", "value"] == "[1, 2]"
    assert page.cells["8000: fused", "seconds"] == "2.5" and "curves, vocab" in page.text
    assert page.cells["9000: 1", "seconds"] == "3.5"


def test_the_quality_of_a_benchmark_stands_beside_the_sizes(tmp_path, capsys):
    row = {"name": "student onnx", "params": 1, "size_mb": 2.0, "load_s": 1, "seconds": [1, 2]}
    rows = [{**row, "per_s": 4.0, "measure": "BLEU", "quality": 23.456}]
    (path := tmp_path / "inference.json").write_text(json.dumps({"rows": rows}))
    page = Page(write_page(tmp_path, capsys, path))
    keys = [key for model, key in page.cells if model == "student onnx"]
    assert keys == ["name", "params", "size_mb", "BLEU", "load_s", "per_s", "seconds"]
    assert page.cells["student onnx", "BLEU"] == "23.456"


def test_many_trainings_are_not_drawn_over_each_other(tmp_path, capsys):
    for i in range(17):
        write_log(tmp_path / "r" / "logs" / f"s{i}.log", training(False))
    page = Page(write_page(tmp_path, capsys, tmp_path / "r"))
    assert "17 runs are too many for a plot" in page.text
