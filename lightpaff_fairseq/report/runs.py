"""What `lightpaff report` was given: folders of recipes and sweeps, results, benchmarks, logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .commands import Command, command_of, command_of_flags
from .logs import Log, read_log
from .reading import parse_json, read_text
from .sweep import Sweep, read_sweep

Row = dict[str, Any]
LOOKED_FOR = "results.json, results.jsonl, logs/*.log, *.log, NAME/flags, sweep/results.jsonl"
_OTHER_LOGS = ("prepare", "preprocess", "evaluate")  # of a recipe's steps that do not train


@dataclass
class Run:
    """One folder or file: a section of the page.

    Attributes:
        title: different for every run.
        rows: of `lightpaff evaluate`, a model each; the first is what the others are compared with.
        logs: of trainings, by the name of the model (the file's stem).
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
        """Whether nothing was found."""
        return not (self.rows or self.logs or self.sweep or self.benchmarks or self.commands)

    def labels(self) -> dict[str, str]:
        """Name of a checkpoint -> what the reader is told: the row's name, if it has one.

        The evaluated models come first, in the order of their rows.
        """
        names = [str(row["name"]) for row in self.rows]
        found = dict(zip(stems(self.rows), names, strict=True))
        return found | {name: name for name in self.logs if name not in found}


def stems(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the rows' checkpoints, which are those of their logs.

    `OUT/NAME.pt` and `OUT/NAME/checkpoint_best.pt` are NAME. Where two would be the same, the names
    of the rows serve.
    """
    found = []
    for row in rows:
        path = Path(str(row.get("path") or row["name"]))
        found.append(path.parent.name if path.stem.startswith("checkpoint") else path.stem)
    unique = len(set(found)) == len(found) and all(found)
    return found if unique else [str(row["name"]) for row in rows]


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Reads everything, in the order given; the sweep inside a recipe's folder is one more run.

    Single log files are one run: their curves are compared.

    Raises:
        ValueError: all at once: paths that do not exist, folders without anything to show, and
            files that cannot be read, with the line.
    """
    runs: list[Run] = []
    problems: list[str] = []
    names = titles(paths)
    files: dict[str, Path] = {}
    for path in dict.fromkeys(paths):
        try:
            if path.is_file() and path.suffix not in (".json", ".jsonl"):
                files[names[path]] = path
            else:
                runs += _read(path, names[path])
        except ValueError as error:
            problems.append(str(error))
    if files:
        runs += _logs_alone(files, problems)
    if problems:
        raise ValueError("; ".join(problems))
    return runs


def titles(paths: Sequence[Path]) -> dict[Path, str]:
    """The shortest end of each path that tells it from the others; of a file without its ending."""
    found: dict[Path, str] = {}
    parts = {path: path.absolute().with_suffix("").parts for path in paths}
    for path, own in parts.items():
        others = [p for other, p in parts.items() if other != path]
        length = 1
        while length < len(own) and any(p[-length:] == own[-length:] for p in others):
            length += 1
        found[path] = "/".join(own[-length:])
    return found


def _read(path: Path, title: str) -> list[Run]:
    if path.is_dir():
        return _folder(path, title)
    if not path.exists():
        raise ValueError(f"RUNS {path}: no such file or folder")
    run = Run(title, path)
    if path.suffix == ".jsonl":
        run.sweep = read_sweep(path)
    else:
        _take_json(run, path)
    return [run]


def _folder(path: Path, title: str) -> list[Run]:
    runs = []
    run = Run(title, path)
    if (path / "results.json").is_file():
        _take_json(run, path / "results.json")
    if (path / "results.jsonl").is_file():
        run.sweep = read_sweep(path / "results.jsonl")
    found = [*sorted(path.glob("*.log")), *sorted((path / "logs").glob("*.log"))]
    for log in found:
        read = read_log(log, log.stem)
        if read.curves or read.starts:
            run.logs[log.stem] = read
        elif not log.stem.startswith(_OTHER_LOGS):
            run.notes.append(f"{log.name} holds no training of fairseq")
    _find_commands(run)
    if not run.is_empty:
        runs.append(run)
    if (path / "sweep" / "results.jsonl").is_file():
        runs += _folder(path / "sweep", f"{title}/sweep")
    if not runs:
        raise ValueError(f"RUNS {path}: there is nothing to show; looked for {LOOKED_FOR}")
    return runs


def _find_commands(run: Run) -> None:
    rows = {str(row["name"]): row for row in run.sweep.rows} if run.sweep else {}
    flags = sorted(path.parent.name for path in run.path.glob("*/flags"))
    names = dict.fromkeys([*run.logs, *rows, *flags])
    for name in names:
        if name in rows and isinstance(rows[name].get("flags"), list):
            run.commands[name] = command_of_flags([str(word) for word in rows[name]["flags"]])
            continue
        provenance = run.logs[name].provenance if name in run.logs else {}
        run.commands[name] = command_of(provenance, run.path / name / "flags", name)


def _logs_alone(files: Mapping[str, Path], problems: list[str]) -> list[Run]:
    first = next(iter(files.values()))
    run = Run("Logs" if len(files) > 1 else first.stem, first)
    for name, path in files.items():
        try:
            log = read_log(path, name)
        except ValueError as error:
            problems.append(str(error))
            continue
        if not log.curves and not log.starts:
            problems.append(f"RUNS {path}: expected a log of fairseq-train, found no line of one")
        run.logs[name] = log
        run.commands[name] = command_of(log.provenance, None, name)
    return [run]


def _take_json(run: Run, path: Path) -> None:
    """The rows of `lightpaff evaluate`, or what `lightpaff benchmark` measured.

    Raises:
        ValueError: neither; with the line where it is not JSON.
    """
    found = parse_json(read_text(path), path)
    if isinstance(found, dict) and found:
        run.benchmarks[path.name] = found
        return
    names = [row.get("name") if isinstance(row, dict) else None for row in _list(found)]
    if not names or None in names:
        raise ValueError(
            f"RUNS {path}: expected a list of models, each with a name (lightpaff evaluate --out), "
            "or an object (lightpaff benchmark --json)"
        )
    run.rows = found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
