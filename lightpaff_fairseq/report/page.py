"""One self-contained HTML page: no script, no font, no picture from elsewhere."""

import datetime
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..provenance import version
from .benchmarks import benchmark_tables
from .commands import Command
from .configuration import settings, task_of
from .curves import is_curve, panels, stages
from .logs import Log
from .plots import learning, sweep_panel, tradeoff
from .quality import quality_of, speed_of
from .runs import Run, stems
from .style import Style, styles
from .summary import summarise_sweep, summarize
from .svg import themed
from .swatch import swatch
from .tables import Table, results_table, sweep_table

MOST_CURVES = 16  # in a plot; more cannot be told apart

_SPEEDS = {"sentences_per_s": "sentences a second", "tokens_per_s": "tokens a second"}


@dataclass(frozen=True)
class Stage:
    """The curves of one task: legend (swatch, label), figures as SVG, and why there are none."""

    task: str
    legend: list[tuple[str, str]]
    figures: list[str]
    note: str = ""


@dataclass(frozen=True)
class Training:
    """What is told of one training beside its curves."""

    name: str
    label: str
    command: Command
    lines: str
    facts: list[str]
    settings: dict[str, Any]


@dataclass
class Section:
    """A run, ready to be written."""

    anchor: str
    run: Run
    summary: str = ""
    legend: list[tuple[str, str]] = field(default_factory=list)
    tradeoffs: list[str] = field(default_factory=list)
    results: Table | None = None
    stages: list[Stage] = field(default_factory=list)
    sweep_figures: list[str] = field(default_factory=list)
    sweep_table: Table | None = None
    benchmarks: list[tuple[str, list[tuple[str, Table]]]] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)


def page(runs: Sequence[Run], title: str) -> str:
    """The page as text.

    Args:
        runs: at least one.
        title: its heading.
    Raises:
        ValueError: a package that draws or fills the template is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise ValueError(
            "lightpaff report needs the package Jinja2: pip install 'lightpaff-fairseq[plots]'"
        ) from error
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    template = environment.get_template("page.html.j2")
    text: str = template.render(
        title=title,
        sections=[_section(run, f"run-{i}") for i, run in enumerate(runs)],
        version=version("lightpaff-fairseq") or "not installed as a package",
        date=datetime.date.today().isoformat(),
    )
    return text


def _section(run: Run, anchor: str) -> Section:
    labels = run.labels()
    looks = styles(labels)
    section = Section(anchor, run, summarize(run.rows), versions=_versions(run.logs.values()))
    if run.rows:
        names = stems(run.rows)
        section.results = results_table(run.rows, names)
        section.tradeoffs = _tradeoffs(run, [looks[name] for name in names], anchor)
        section.legend = _legend(names, looks, labels)
    for i, (task, names) in enumerate(stages(run.logs).items()):
        logs = {name: run.logs[name] for name in labels if name in names}
        section.stages.append(
            _stage(task, logs, (looks, labels), f"{anchor}-stage-{i}", run.sweep is not None)
        )
    if run.sweep:
        section.summary = section.summary or summarise_sweep(run.sweep)
        axes = enumerate(run.sweep.panels())
        section.sweep_figures = [sweep_panel(run.sweep, a, f"{anchor}-axis-{i}") for i, a in axes]
        section.sweep_table = sweep_table(run.sweep)
    section.benchmarks = [(name, benchmark_tables(b)) for name, b in run.benchmarks.items()]
    ordered = [n for n in labels if n in run.commands] + [
        n for n in run.commands if n not in labels
    ]
    section.trainings = [_training(run, name, labels) for name in ordered]
    return section


def _tradeoffs(run: Run, looks: list[Style], anchor: str) -> list[str]:
    metric, speed = quality_of(run.rows), speed_of(run.rows)
    if metric is None:
        return []
    axes = [("params", "parameters")] if all("params" in row for row in run.rows) else []
    axes += [(speed, _SPEEDS.get(speed, speed))] if speed else []
    return [
        tradeoff(run.rows, axis, metric, looks, f"{anchor}-tradeoff-{i}")
        for i, axis in enumerate(axes)
    ]


def _stage(
    task: str,
    logs: dict[str, Log],
    shown: tuple[dict[str, Style], dict[str, str]],
    name: str,
    has_table: bool,
) -> Stage:
    """The curves of one task; single points are left out where a table has them."""
    looks, labels = shown
    if len(logs) > MOST_CURVES:
        note = (
            f"{len(logs)} trainings are too many for a plot; give some of the logs by themselves."
        )
        return Stage(task, [], [], note)
    found = [panel for panel in panels(logs) if is_curve(panel) or not has_table]
    figures = [learning(panel, looks, labels, f"{name}-{i}") for i, panel in enumerate(found)]
    note = "" if figures else "The logs hold no numbers yet."
    return Stage(task, _legend(logs, looks, labels), figures, note)


def _legend(names: Any, looks: dict[str, Style], labels: dict[str, str]) -> list[tuple[str, str]]:
    return [(swatch(looks[n], themed(looks[n].color)), labels[n]) for n in names]


def _training(run: Run, name: str, labels: dict[str, str]) -> Training:
    command, log = run.commands[name], run.logs.get(name)
    configured = settings(log.configuration) if log and command.text is None else {}
    lines = broken(command.text) if command.text else ""
    return Training(name, labels.get(name, name), command, lines, _facts(log), configured)


def _facts(log: Log | None) -> list[str]:
    if log is None:
        return ["no log"]
    facts = [task_of(log.configuration)] if log.configuration else ["no configuration in the log"]
    facts += [f"{log.parameters:,} parameters"] if log.parameters else []
    facts.append(f"{log.last_update:,} updates logged")
    facts += [f"started {log.starts} times"] if log.starts > 1 else []
    facts += [f"pruned to its target at update {log.pruned_at:,}"] if log.pruned_at else []
    facts.append("finished" if log.is_finished else "not finished, as far as the log tells")
    return [*facts, *log.problems]


def _versions(logs: Any) -> list[str]:
    """The different sets of versions that trainings recorded."""
    found = []
    for log in logs:
        versions = log.provenance.get("versions")
        if isinstance(versions, dict):
            words = [f"{name} {text}" for name, text in versions.items()]
            found.append(", ".join([*words, str(log.provenance.get("machine", ""))]).rstrip(", "))
    return list(dict.fromkeys(found))


def broken(command: str) -> str:
    """A command over several lines, a flag each, that a shell takes as it stands."""
    try:
        words = [shlex.quote(word) for word in shlex.split(command)]
    except ValueError:  # a quotation mark that is not closed
        return command
    parts = [f" \\\n  {word}" if word.startswith("--") else f" {word}" for word in words]
    return "".join(parts).strip()
