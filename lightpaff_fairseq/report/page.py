"""Write one self-contained HTML page: no script, no font, no picture from elsewhere."""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..provenance import version
from . import tables
from .curves import panels, stages
from .drawing import Style, styles
from .figures import learning, sweep_panel, tradeoff
from .log import Log
from .quality import quality_metric, speed_key
from .results import Run, model_names
from .summary import summarize, summarize_sweep
from .sweep import Sweep

MOST_CURVES = 16  # in a plot; more cannot be told apart
_SPEED_TITLES = {"sentences_per_s": "sentences per second", "tokens_per_s": "tokens per second"}


def render_page(runs: Sequence[Run], title: str) -> str:
    """Return the page as text.

    Args:
        runs: at least one; title: heading of the page.
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
    environment.filters |= {
        "cell_text": tables.text,
        "column_title": tables.title,
        "exact": lambda value: json.dumps(value, ensure_ascii=False),
    }
    return environment.get_template("page.html.j2").render(
        title=title,
        sections=[_section(_Names(run, f"run-{i}")) for i, run in enumerate(runs)],
        version=version("lightpaff-fairseq") or "not installed as a package",
        date=datetime.date.today().isoformat(),
    )


@dataclass(frozen=True)
class _Names:
    """A run, the anchor of its section, and how its models are labeled and look."""

    run: Run
    anchor: str

    @property
    def labels(self) -> dict[str, str]:
        return self.run.labels()

    @property
    def looks(self) -> dict[str, Style]:
        return styles(self.labels)

    def legend(self, models: Iterable[str]) -> list[tuple[Style, str]]:
        """Return look and label of every model."""
        return [(self.looks[model], self.labels[model]) for model in models]


def _section(names: _Names) -> Mapping[str, Any]:
    """Return what the template shows of a run."""
    run, anchor, sweep = names.run, names.anchor, names.run.sweep
    models = model_names(run.rows)
    trainings = dict.fromkeys([n for n in names.labels if n in run.commands] + [*run.commands])
    return {
        "anchor": anchor,
        "run": run,
        "labels": names.labels,
        "summary": summarize(run.rows) or (summarize_sweep(sweep) if sweep else ""),
        "results": tables.results_table(run.rows, models) if run.rows else None,
        "legend": names.legend(models),
        "tradeoffs": _tradeoffs(names, models),
        "sweep_figures": _sweep_figures(sweep, anchor) if sweep else [],
        "sweep_table": tables.sweep_table(sweep) if sweep else None,
        "benchmarks": {k: tables.benchmark_tables(b) for k, b in run.benchmarks.items()},
        "stages": [
            _stage(names, task, models, f"{anchor}-stage-{i}")
            for i, (task, models) in enumerate(stages(run.logs).items())
        ],
        "trainings": {name: _facts(run.logs.get(name)) for name in trainings},
        "versions": list(dict.fromkeys(filter(None, map(_versions, run.logs.values())))),
    }


def _tradeoffs(names: _Names, models: Sequence[str]) -> list[str]:
    rows = names.run.rows
    metric, speed = quality_metric(rows), speed_key(rows)
    if metric is None:
        return []
    axes = [("params", "parameters")] if all("params" in row for row in rows) else []
    axes += [(speed, _SPEED_TITLES.get(speed, speed))] if speed else []
    looks = [names.looks[model] for model in models]
    return [
        tradeoff(rows, axis, metric, looks, f"{names.anchor}-tradeoff-{i}")
        for i, axis in enumerate(axes)
    ]


def _sweep_figures(sweep: Sweep, anchor: str) -> list[str]:
    axes = enumerate(sweep.panels())
    return [sweep_panel(sweep, axis, f"{anchor}-axis-{i}") for i, axis in axes]


def _stage(names: _Names, task: str, models: Sequence[str], anchor: str) -> Mapping[str, Any]:
    """Return the curves of one task; single points are left out where a sweep's table has them."""
    logs = {name: names.run.logs[name] for name in names.labels if name in models}
    if len(logs) > MOST_CURVES:
        note = f"{len(logs)} trainings are too many for a plot; give some of the logs alone."
        return {"task": task, "legend": [], "figures": [], "note": note}
    shown = [p for p in panels(logs) if p.has_lines or names.run.sweep is None]
    drawn = [learning(p, names.looks, names.labels, f"{anchor}-{i}") for i, p in enumerate(shown)]
    note = "" if drawn else "The logs hold no numbers yet."
    return {"task": task, "legend": names.legend(logs), "figures": drawn, "note": note}


def _facts(log: Log | None) -> list[str]:
    """Return what is told of a training beside its curves."""
    if log is None:
        return ["no log"]
    facts = [log.task if log.configuration else "no configuration in the log"]
    facts += [f"{log.parameters:,} parameters"] if log.parameters else []
    facts.append(f"{log.last_update:,} updates logged")
    facts += [f"started {log.starts} times"] if log.starts > 1 else []
    facts += [f"pruned to its target at update {log.pruned_at:,}"] if log.pruned_at else []
    facts.append("finished" if log.is_finished else "not finished, as far as the log tells")
    return [*facts, *log.problems]


def _versions(log: Log) -> str:
    """Return the versions that a training recorded; "" where it did not."""
    versions = log.provenance.get("versions") or {}
    words = [f"{name} {number}" for name, number in versions.items()]
    machine = log.provenance.get("machine", "")
    return ", ".join([*words, machine] if machine and words else words)
