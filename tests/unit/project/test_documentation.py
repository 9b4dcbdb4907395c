"""Pages of docs/ agree with the code."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional

import pytest
from fairseq import criterions, models, tasks
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II, MISSING

import toy
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.flags import TRAINING_PREFIXES
from lightpaff_fairseq.flags_reference import (
    flag_fields,
    flag_row,
    kd_flags_table,
    parameter_formula,
)
from lightpaff_fairseq.tasks.pruning import PruningConfig

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_flags_page_is_in_sync(page, capsys):
    assert main(["flags"]) == 0
    assert capsys.readouterr().out == page, "run: lightpaff flags > docs/flags.md"


def registered(registry):
    return [
        name
        for name, thing in registry.items()
        if thing.__module__.startswith("lightpaff_fairseq.")
    ]


def test_everything_that_is_registered_is_on_the_page(page):
    cells = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    kinds = registered(criterions.CRITERION_REGISTRY)
    archs = registered(models.ARCH_CONFIG_REGISTRY)
    assert len(kinds) >= 6 and len(archs) >= 21
    assert {*kinds, *archs, "data"} <= cells
    assert "## Flags of `--task masked_seq2seq`" in page
    prunable = [name for name in registered(tasks.TASK_REGISTRY) if name != "masked_seq2seq"]
    assert len(prunable) == 5 and {*prunable, "--prune-target-width"} <= cells


@pytest.mark.parametrize("name", [n for n in tasks.TASK_REGISTRY if n.startswith("prunable_")])
def test_flags_of_pruning_collide_with_none_of_the_task(name):
    """fairseq would swallow the second of two flags of one name."""
    stock = tasks.TASK_DATACLASS_REGISTRY[name.removeprefix("prunable_")].__dataclass_fields__
    both = tasks.TASK_DATACLASS_REGISTRY[name].__dataclass_fields__
    own = [flag for flag in PruningConfig.__dataclass_fields__ if flag.startswith("prune_")]
    assert len(own) == 10 and not set(own) & set(stock)
    assert set(both) == {*stock, *PruningConfig.__dataclass_fields__}


def test_fairseqs_parser_takes_every_flag_of_distillation_with_its_default(page, tmp_path):
    """The table is compared with what an empty command line means."""
    data = toy.write_parallel(tmp_path, count=1)
    cfg = toy.parse(data, "--arch", "transformer", "--criterion", "kd_ss").criterion
    section = page.partition("## Flags of distillation")[2].partition("\n## ")[0]
    rows = re.findall(
        r"^\| `--((?:kd|quantize)-[^`]+)` \| [^|]+ \| ([^|]+) \| (.*) \|$", section, re.MULTILINE
    )
    assert len(rows) >= 5
    own = [(flag, default) for flag, default, text in rows if _is_of("kd_ss", text)]
    known = {key for key in cfg if key.startswith(TRAINING_PREFIXES)}
    known -= {"kd_sides"}  # hidden: a former name
    assert {flag.replace("-", "_") for flag, _ in own} == known
    for flag, default in own:
        value = cfg[flag.replace("-", "_")]
        shown = {"none": None, "off": False}.get(default, default.strip("`"))
        assert value == shown or str(value) == shown, flag


def _is_of(criterion, text):
    """Whether a flag is one of `criterion`: its text ends with a list of owners, or has none."""
    owners = re.search(r"\((kd_\w+(?:, kd_\w+)*)\)$", text)
    return owners is None or criterion in owners[1].split(", ")


@dataclass
class Sample(FairseqDataclass):
    data: str = field(default=MISSING, metadata={"help": "folder"})
    kd_part: Optional[int] = field(default=None, metadata={"help": "5%% of <mask>\n  a | b"})
    some_switch: bool = field(default=False, metadata={"help": "x"})
    kind: ChoiceEnum(["a", "b"]) = field(default="a", metadata={"help": "x"})
    numbers: List[float] = field(default_factory=lambda: [0.5, 2.0], metadata={"help": "x"})
    names: Optional[List[str]] = field(default=None, metadata={"help": "x"})
    seed: int = II("common.seed")


def test_kinds_of_flags():
    assert [flag_row(f)[:3] for f in flag_fields(Sample)] == [
        ["`data`", "text", "required"],
        ["`--kd-part`", "integer", "none"],
        ["`--some-switch`", "switch", "off"],
        ["`--kind`", "a, b", "`a`"],
        ["`--numbers`", "list of numbers, separated by commas", "`0.5,2.0`"],
        ["`--names`", "list of texts, separated by commas", "none"],
    ]
    assert flag_row(flag_fields(Sample)[1])[3] == r"5% of &lt;mask> a \| b"


def test_a_flag_of_some_criterions_names_them():
    other = dataclass(type("Other", (FairseqDataclass,), {}))
    assert kd_flags_table({"kd_a": Sample}).endswith("a \\| b |\n")
    assert kd_flags_table({"kd_a": Sample, "kd_b": other}).endswith("a \\| b (kd_a) |\n")


def test_sizes_are_counted_on_the_models():
    fixed, each = parameter_formula("roberta_student")
    assert fixed + 30_522 * each == 25_642_810
    assert parameter_formula("transformer_mass_tiny") == parameter_formula("mass_tiny")
    stock, _ = parameter_formula("transformer_lm_gpt2_teacher")
    assert stock == 24 * (4 * (1024**2 + 1024) + 2 * 1024 * 4096 + 5120 + 4096) + 1026 * 1024 + 2048


def resolve(path, qualified_name):
    """Walk down from a module to a function, class or method; AssertionError where it ends."""
    node = ast.parse(path.read_text(encoding="utf-8"))
    for part in qualified_name.split("."):
        children = {
            child.name: child
            for child in node.body
            if isinstance(child, ast.FunctionDef | ast.ClassDef)
        }
        assert part in children, f"{path}::{qualified_name}"
        node = children[part]


def test_paper_map_names_what_exists():
    text = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
    references = re.findall(r"`([^`\s]+\.py)(?:::([^`]*))?`", text)
    assert len(references) >= 40
    for name, qualified_name in references:
        is_test = name.startswith("tests/")
        path = ROOT / name if is_test else ROOT / "lightpaff_fairseq" / name
        assert path.is_file(), name
        if qualified_name:
            resolve(path, qualified_name)
    assert sum(name.startswith("tests/") for name, _ in references) >= 20
    assert sum(bool(qualified_name) for _, qualified_name in references) >= 40


@pytest.mark.parametrize("name", ["soft_loss", "DistillationMixin.distill", "forward"])
def test_names_that_do_not_exist_are_noticed(name):
    """`forward` does, but as a method: `fused.py::forward` would point nowhere."""
    with pytest.raises(AssertionError, match=name):
        resolve(ROOT / "lightpaff_fairseq" / "losses" / "fused.py", name)


def test_the_picture_shows_the_numbers_of_the_tables(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import plot_quality

    text = plot_quality.OUT.read_text(encoding="utf-8")
    kept = [plot_quality.read(pair) for pair in plot_quality.PAIRS]
    assert len(kept) == 6
    for row in kept:
        assert f"{row.distilled:.0%}</text>" in text, "run: python docs/plot_quality.py"
        assert f"{row.pair.title} ({row.times_smaller} smaller)</text>" in text


def test_the_tests_that_the_page_on_faults_names_exist():
    text = (ROOT / "docs" / "checked_faults.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[^`:]+)::(\w+)`", text)
    assert len(named) >= 10
    for path, name in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), (path, name)
