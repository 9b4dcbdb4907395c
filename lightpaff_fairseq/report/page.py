"""Write one self-contained HTML page: no script, no font, no picture from elsewhere."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..provenance import version
from . import tables
from .curves import panels, stages
from .drawing import Style, styles
from .figures import learning, sweep_panel, tradeoff
from .log import Log
from .model_table import mean_row, model_table, run_table
from .models import Model, group_models
from .quality import Row, quality_metric, speed_key
from .results import Run, model_names
from .settings_in_words import in_words
from .summary import summarize, summarize_sweep

MOST_CURVES = 16  # per plot; more cannot be distinguished
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
        sections=[_section(run) for run in runs],
        most_curves=MOST_CURVES,
        version=version("lightpaff-fairseq") or "not installed as a package",
        date=datetime.date.today().isoformat(),
    )


def _section(run: Run) -> Mapping[str, Any]:
    """Return what the template shows of a run."""
    labels, names, sweep = run.labels(), model_names(run.rows), run.sweep
    looks, models = styles(labels), group_models(run.rows)
    of_models = _first_names(models, run.rows, names)
    minutes = {n: x for n, log in run.logs.items() if (x := log.minutes) is not None}
    trained = {name: run.logs[name] for name in labels if name in run.logs}
    trained_names = [name for name in [*labels, *run.commands] if name in run.commands]
    return {
        "run": run,
        "labels": labels,
        "looks": looks,
        "models": {name: model.name for name, model in of_models.items()},
        "summary": summarize(run.rows) or (summarize_sweep(sweep) if sweep else ""),
        "results": model_table(models, names, minutes) if run.rows else None,
        "runs": run_table(run.rows, names) if run.rows else None,
        "tradeoffs": _tradeoffs(models, [looks[name] for name in of_models]),
        "sweep_figures": [sweep_panel(sweep, axis) for axis in sweep.panels()] if sweep else [],
        "sweep_table": tables.sweep_table(sweep) if sweep else None,
        "benchmarks": {k: tables.benchmark_tables(b) for k, b in run.benchmarks.items()},
        "stages": {task: (names, _learning(run, names)) for task, names in stages(trained).items()},
        "commands": {name: _facts(run.logs.get(name)) for name in trained_names},
        "settings": {name: in_words(log.configuration) for name, log in run.logs.items()},
        "versions": list(dict.fromkeys(filter(None, map(_versions, run.logs.values())))),
    }


def _first_names(
    models: Sequence[Model], rows: Sequence[Row], names: Sequence[str]
) -> dict[str, Model]:
    """Map the name of every model's first checkpoint to the model."""
    place = {id(row): name for row, name in zip(rows, names, strict=True)}
    return {place[id(model.rows[0])]: model for model in models}


def _tradeoffs(models: Sequence[Model], looks: Sequence[Style]) -> list[str]:
    rows = [mean_row(model) for model in models]
    metric, speed = quality_metric(rows), speed_key(rows)
    if metric is None:
        return []
    axes = [("params", "parameters")] if all("params" in row for row in rows) else []
    axes += [(speed, _SPEED_TITLES.get(speed, speed))] if speed else []
    return [tradeoff(rows, axis, metric, looks) for axis in axes]


def _learning(run: Run, models: Sequence[str]) -> list[str]:
    """Plot the curves of one task; single points are left out where a sweep's table has them."""
    if len(models) > MOST_CURVES:
        return []
    labels = run.labels()
    shown = [p for p in panels({m: run.logs[m] for m in models}) if p.has_lines or not run.sweep]
    return [learning(panel, styles(labels), labels) for panel in shown]


def _facts(log: Log | None) -> list[str]:
    """Return the facts on a training run that are printed with its curves."""
    if log is None:
        return ["no log"]
    facts = [log.task if log.configuration else "no configuration in the log"]
    facts += [f"{log.minutes:,.0f} min"] if log.minutes is not None else []
    facts += [f"{log.parameters:,} parameters"] if log.parameters else []
    facts.append(f"{log.last_update:,} updates logged")
    facts += [f"curves show one of {log.every:,} points"] if log.every > 1 else []
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
