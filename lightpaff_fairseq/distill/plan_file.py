"""The files that make a distillation continue: its plan, its settings, and its script."""

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any

from ..data_shards import data_shards
from ..output_file import write_json, write_text
from ..shards import differences
from ..teachers.cache.fingerprint import file_digest
from ..training.hydra_config import hydra_config
from .choices import Choice
from .commands import USER_DIR
from .layout import REFERENCES
from .plan import Plan
from .setting_sources import absolute_paths, to_yaml
from .settings import SHARDED, DistillSettings
from .steps import TRAIN, Step, script

PLAN, CONFIG, SCRIPT, LOCK = "plan.json", "config.yaml", "commands.sh", "lock"
HYDRA = "hydra"  # folder of a file per training, for fairseq-hydra-train
# What a killed run may leave without a plan.
BEFORE_PLAN = (CONFIG, SCRIPT, HYDRA, REFERENCES, LOCK)
FORMAT, VERSION = "lightpaff distill", 1


def read_plan(settings: DistillSettings) -> Plan | None:
    """Return the plan that OUT holds, or None if there is none yet.

    Raises:
        ValueError: it was made with other settings, another teacher or other data, or the file is
            corrupt, or OUT holds something else.
    """
    out = Path(str(settings.out))
    path = out / PLAN
    if not path.exists():
        names = [x.name for x in out.iterdir()] if out.is_dir() else []
        if any(x not in BEFORE_PLAN and not x.endswith(".tmp") for x in names):
            raise ValueError(f"--out {out}: expected an empty folder, or one of lightpaff distill")
        return None
    content = _read(path)
    here = {"settings": _settings(settings), "inputs": _inputs(settings)}
    problems = []
    for part, values in here.items():
        stored = content[part]
        problems += differences(stored, values, f"in {out}")
    if problems:
        raise ValueError(
            f"--out {out}: made with other settings: {'; '.join(problems)}; choose another --out, "
            "or remove it"
        )
    stages = tuple(
        tuple(tuple(Step.from_json(step) for step in lane) for lane in lanes)
        for lanes in content["stages"]
    )
    return Plan(tuple(Choice(**choice) for choice in content["choices"]), stages)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stored = content.pop("checksum")
        is_ours = content["format"] == FORMAT and content["version"] == VERSION
        if not is_ours or stored != _checksum(content):
            raise ValueError("another format or version, or changed by hand")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"--out: {path}: not a plan of lightpaff distill: {error}") from error
    return dict(content)


def write_plan(settings: DistillSettings, plan: Plan) -> None:
    """Write settings, script, files for hydra and the plan into OUT, the plan last.

    Raises:
        ValueError: a file cannot be written.
    """
    out = Path(str(settings.out)).absolute()
    titles = [line for choice in plan.choices for line in choice.lines()]
    if plan.references:
        write_text(out / REFERENCES, "\n".join(plan.references) + "\n", "--out")
    write_text(out / CONFIG, to_yaml(settings), "--out")
    write_text(out / SCRIPT, script(titles, plan.stages, out, str(USER_DIR)), "--out")
    for step in plan.steps:
        if step.is_training:
            _write_hydra_config(step, out / HYDRA / f"{step.name}.yaml")
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "settings": _settings(settings),
        "inputs": _inputs(settings),
        "choices": [dataclasses.asdict(choice) for choice in plan.choices],
        "stages": [[[s.to_json() for s in lane] for lane in lanes] for lanes in plan.stages],
    }
    write_json(out / PLAN, {**content, "checksum": _checksum(content)}, "--out")


def _write_hydra_config(step: Step, path: Path) -> None:
    """Write the training of a step as a file for fairseq-hydra-train."""
    words = [Path(word).name for word in step.command]
    path.parent.mkdir(exist_ok=True)
    text = hydra_config(step.command[words.index(TRAIN) + 1 :], path)
    write_text(path, text, "--out")


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _settings(settings: DistillSettings) -> dict[str, Any]:
    """Return the settings as JSON; folders and files by their absolute paths."""
    values = dataclasses.asdict(absolute_paths(settings))
    values.pop("out")
    return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}


def _inputs(settings: DistillSettings) -> dict[str, Any]:
    """Return digests of the files that the plan was made of."""
    facts: dict[str, Any] = {}
    checkpoints = {
        "--teacher": settings.teacher,
        "--pretrained-teacher": settings.pretrained_teacher,
        "--init": settings.init_file,
    }
    facts |= {f"SHA-256 of {flag}": file_digest(path) for flag, path in checkpoints.items() if path}
    for name in SHARDED:
        data = getattr(settings, name)
        if data is not None:
            files = [x for folder in data_shards(data) for x in Path(folder).rglob("*")]
            sizes = sorted((x.name, x.stat().st_size) for x in files if x.is_file())
            facts[f"sizes of the files in --{name}"] = zlib.crc32(json.dumps(sizes).encode())
    return facts
