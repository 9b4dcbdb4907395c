"""docs/flags.md, from the registries: `fairseq-train --help` shows none of what is in it."""

import enum
import inspect
from dataclasses import MISSING as DC_MISSING
from dataclasses import Field, fields
from typing import Any, get_args, get_origin

from fairseq import criterions, tasks
from omegaconf import MISSING

from ..checkpoints.strip import PRUNABLE, stock_criterion
from ..tasks.pruning import PruningConfig, PruningMixin
from .architectures import architecture_section
from .registry import ours, table

PREFIX = "kd_"
FLAG_HEAD = ["flag", "value", "default", "meaning"]
WORDS = {bool: "switch", int: "integer", float: "number", str: "text"}
HEAD = """\
# Flags and architectures

Written by `lightpaff flags > docs/flags.md`; do not edit. `fairseq-train --help` shows none of
these. On the command line `--user-dir "$(lightpaff user-dir)"` makes them known; in hydra's YAML a
flag is spelled as its field (`--kd-lambda 0.5` is `criterion.kd_lambda: 0.5`).
"""


def flags_page() -> str:
    """The whole page, in Markdown."""
    parts = [HEAD, _criterion_section(), *_task_sections(), _pruning_section()]
    return "\n".join([*parts, architecture_section()])


def _pruning_section() -> str:
    """The prunable tasks, and the flags that they add to those of the tasks that they extend."""
    found = {n: k for n, k in ours(tasks.TASK_REGISTRY).items() if issubclass(k, PruningMixin)}
    rows = [[f"`{n}`", f"`{n.removeprefix(PRUNABLE)}`", _summary(k)] for n, k in found.items()]
    head = ["--task", "extends", "what it does"]
    flags = [_row(f) for f in _shown(PruningConfig)]
    return f"## Pruning\n\n{table(head, rows)}\n{table(FLAG_HEAD, flags)}"


def _criterion_section() -> str:
    found = ours(criterions.CRITERION_REGISTRY)
    configs = {name: criterions.CRITERION_DATACLASS_REGISTRY[name] for name in found}
    rows = []
    for name, kind in found.items():
        inherited = [_flag(f) for f in _shown(configs[name]) if not f.name.startswith(PREFIX)]
        summary = _summary(kind).rstrip(".")
        rows.append(
            [f"`{name}`", summary, f"`{stock_criterion(name)}`", " ".join(inherited) or "none"]
        )
    head = ["--criterion", "what is distilled", "extends", "flags of the stock criterion"]
    return f"## Criterions\n\n{table(head, rows)}\n## Flags of distillation\n\n{_kd_flags(configs)}"


def _kd_flags(configs: dict[str, Any]) -> str:
    """The flags of all criterions; one that only some have says which."""
    found: dict[str, Field[Any]] = {}
    owners: dict[str, list[str]] = {}
    for name, config in configs.items():
        for field in _shown(config):
            if field.name.startswith(PREFIX):
                found.setdefault(field.name, field)
                owners.setdefault(field.name, []).append(name)
    rows = []
    for key, field in found.items():
        row = _row(field)
        if len(owners[key]) < len(configs):
            row[-1] += f" ({', '.join(owners[key])})"
        rows.append(row)
    return table(FLAG_HEAD, rows)


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _shown(config: Any) -> list[Field[Any]]:
    """The fields of a configuration that are flags of its own (not another section's)."""
    return [f for f in fields(config) if not f.name.startswith("_") and f.metadata.get("help")]


def _flag(field: Field[Any]) -> str:
    return "`data`" if field.name == "data" else f"`--{field.name.replace('_', '-')}`"


def _row(field: Field[Any]) -> list[str]:
    meaning = " ".join(str(field.metadata["help"]).replace("%%", "%").split())
    for character, escaped in (("|", "\\|"), ("<", "&lt;")):
        meaning = meaning.replace(character, escaped)
    return [_flag(field), _values(field.type), _default(field), meaning]


def _values(kind: Any) -> str:
    """What a flag takes, in words."""
    kinds = [k for k in get_args(kind) if k is not type(None)]
    if get_origin(kind) is list:
        return f"list of {WORDS[kinds[0]]}s, separated by commas"
    if kinds:  # Optional
        return _values(kinds[0])
    if issubclass(kind, enum.Enum):
        return ", ".join(str(member.value) for member in kind)
    return WORDS[kind]


def _default(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "required"
    value = field.default if field.default_factory is DC_MISSING else field.default_factory()
    if value is None or value is False or value == []:
        return "off" if value is False else "none"
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return f"`{value.value if isinstance(value, enum.Enum) else value}`"


def _task_sections() -> list[str]:
    sections = []
    for name, kind in ours(tasks.TASK_REGISTRY).items():
        if issubclass(kind, PruningMixin):
            continue
        rows = [_row(f) for f in _shown(tasks.TASK_DATACLASS_REGISTRY[name])]
        summary = _summary(kind)
        flags = table(FLAG_HEAD, rows)
        sections.append(f"## Flags of `--task {name}`\n\n{summary}\n\n{flags}")
    return sections
