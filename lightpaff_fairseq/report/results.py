"""Collect the files that `lightpaff report` was given: results, sweeps, benchmarks, logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..problems import Problems
from .commands import Command, command_of_flags, find_command
from .input_files import parse_json, read_text
from .log import Log, read_log
from .sweep import Sweep, read_sweep

Row = dict[str, Any]
EXPECTED_FILES = "results.json, results.jsonl, logs/*.log, *.log, NAME/flags, sweep/results.jsonl"
# Folders of lightpaff distill: its plan, and its logs of trainings -> the stems of checkpoints.
_PLAN = "plan.json"
_TRAININGS = {"training": "student", "baseline_training": "baseline", "pretraining": "pretrained"}
_OTHER_STEPS = ("prepare", "preprocess", "evaluate")  # logs of a recipe's steps that do not train


@dataclass
class Run:
    """One folder or file: a section of the page.

    Attributes:
        title: different for every run.
        rows: of `lightpaff evaluate`, one per model; the others are compared with the first.
        logs: of training runs, by the name of the model (the file's stem).
        commands: the same names -> how the model was made.
        sweep: of examples/kd_revisited.
        benchmarks: file name -> what `lightpaff benchmark` measured.
        notes: what the reader should know of the files.
    """

    title: str
    path: Path
    rows: list[Row] = field(default_factory=list)
    logs: dict[str, Log] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    sweep: Sweep | None = None
    benchmarks: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to show."""
        return not (self.rows or self.logs or self.sweep or self.benchmarks or self.commands)

    def labels(self) -> dict[str, str]:
        """Map the name of a checkpoint to its row's name, or else to itself.

        The evaluated models come first, in the order of their rows.
        """
        labels = [str(row["name"]) for row in self.rows]
        evaluated = dict(zip(model_names(self.rows), labels, strict=True))
        return evaluated | {name: name for name in self.logs if name not in evaluated}


def model_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the rows' checkpoints, which are those of their logs.

    `OUT/NAME.pt` and `OUT/NAME/checkpoint_best.pt` are NAME. Where two would be the same, the names
    of the rows serve.
    """
    paths = [Path(str(row.get("path") or row["name"])) for row in rows]
    names = [p.parent.name if p.stem.startswith("checkpoint") else p.stem for p in paths]
    is_unique = len(set(names)) == len(names) and all(names)
    return names if is_unique else [str(row["name"]) for row in rows]


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read everything, in the order given; the sweep inside a recipe's folder is one more run.

    Single log files are one run: their curves are compared.

    Raises:
        ValueError: all at once: paths that do not exist, folders without anything to show, and
            files that cannot be read, with the line.
    """
    runs: list[Run] = []
    problems = Problems()
    logs: dict[str, Path] = {}
    for path, title in short_titles(paths).items():
        try:
            if path.is_file() and path.suffix not in (".json", ".jsonl"):
                logs[title] = path
            else:
                runs += _read_path(path, title)
        except ValueError as error:
            problems.add(str(error))
    if logs:
        runs.append(_read_single_logs(logs, problems))
    problems.raise_if_any()
    return runs


def short_titles(paths: Sequence[Path]) -> dict[Path, str]:
    """Map every path to its shortest end that no other path has; a file's ending is left out."""
    titles: dict[Path, str] = {}
    parts = {path: path.absolute().with_suffix("").parts for path in paths}
    for path, own in parts.items():
        others = [p for other, p in parts.items() if other != path]
        length = 1
        while length < len(own) and any(p[-length:] == own[-length:] for p in others):
            length += 1
        titles[path] = "/".join(own[-length:])
    return titles


def _read_path(path: Path, title: str) -> list[Run]:
    if path.is_dir():
        return _read_folder(path, title)
    if not path.exists():
        raise ValueError(f"RUNS {path}: no such file or folder")
    run = Run(title, path)
    if path.suffix == ".jsonl":
        run.sweep = read_sweep(path)
    else:
        _read_json(run, path)
    return [run]


def _read_folder(path: Path, title: str) -> list[Run]:
    run = Run(title, path)
    if (path / "results.json").is_file():
        _read_json(run, path / "results.json")
    if (path / "results.jsonl").is_file():
        run.sweep = read_sweep(path / "results.jsonl")
    for file in [*sorted(path.glob("*.log")), *sorted((path / "logs").glob("*.log"))]:
        is_step = (path / _PLAN).is_file()
        log = read_log(file)
        if log.last_update or log.starts:
            run.logs[_TRAININGS.get(file.stem, file.stem) if is_step else file.stem] = log
        elif not is_step and not file.stem.startswith(_OTHER_STEPS):
            run.notes.append(f"{file.name} holds no training of fairseq")
    _add_logs_of_students(run)
    _find_commands(run)
    runs = [] if run.is_empty else [run]
    if (path / "sweep" / "results.jsonl").is_file():
        runs += _read_folder(path / "sweep", f"{title}/sweep")
    if not runs:
        raise ValueError(f"RUNS {path}: there is nothing to show; looked for {EXPECTED_FILES}")
    return runs


def _add_logs_of_students(run: Run) -> None:
    """Add the logs of students that `lightpaff distill` made in folders of their own."""
    logs = {checkpoint: f"{log}.log" for log, checkpoint in _TRAININGS.items()}
    for name, row in zip(model_names(run.rows), run.rows, strict=True):
        path = Path(str(row.get("path") or ""))
        file = path.parent / "logs" / logs.get(path.stem, "")
        if name not in run.logs and (path.parent / _PLAN).is_file() and file.is_file():
            run.logs[name] = read_log(file)


def _find_commands(run: Run) -> None:
    rows = {str(row["name"]): row for row in run.sweep.rows} if run.sweep else {}
    flag_files = sorted(path.parent.name for path in run.path.glob("*/flags"))
    for name in dict.fromkeys([*run.logs, *rows, *flag_files]):
        if isinstance(flags := rows.get(name, {}).get("flags"), list):
            run.commands[name] = command_of_flags(flags)
        else:
            provenance = run.logs[name].provenance if name in run.logs else {}
            run.commands[name] = find_command(provenance, run.path / name / "flags", name)


def _read_single_logs(paths: Mapping[str, Path], problems: Problems) -> Run:
    first = next(iter(paths.values()))
    run = Run("Logs" if len(paths) > 1 else first.stem, first)
    for name, path in paths.items():
        try:
            log = read_log(path)
        except ValueError as error:
            problems.add(str(error))
            continue
        problems.unless(
            bool(log.last_update or log.starts),
            f"RUNS {path}: expected a log of fairseq-train, got no line of one",
        )
        run.logs[name] = log
        run.commands[name] = find_command(log.provenance, None, name)
    return run


def _read_json(run: Run, path: Path) -> None:
    """Read the rows of `lightpaff evaluate`, or what `lightpaff benchmark` measured."""
    content = parse_json(read_text(path), path)
    if isinstance(content, dict) and content:
        run.benchmarks[path.name] = content
    elif isinstance(content, list) and content and all(map(_has_name, content)):
        run.rows = content
    else:
        raise ValueError(
            f"RUNS {path}: expected a list of models, each with a name (lightpaff evaluate --out), "
            "or an object (lightpaff benchmark --json)"
        )


def _has_name(row: Any) -> bool:
    return isinstance(row, dict) and row.get("name") is not None
