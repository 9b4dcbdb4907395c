"""Write docs/flags.md from fairseq's registries; `fairseq-train --help` shows none of it.

Architectures are listed with their sizes, counted on the models themselves.
"""

import enum
import inspect
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields
from types import SimpleNamespace
from typing import Any, get_args, get_origin

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
from fairseq import criterions, models, tasks
from fairseq.data import Dictionary
from omegaconf import MISSING
from torch._subclasses.fake_tensor import FakeTensorMode

from .checkpoints.strip import PRUNABLE, stock_criterion
from .flags import TRAINING_PREFIXES
from .tasks.pruning import PruningConfig, PruningMixin

PACKAGE = __name__.split(".")[0]
VOCABULARIES = (8192, 32000)  # the sizes at which parameters are stated
FLAG_COLUMNS = ("flag", "value", "default", "meaning")
TYPE_NAMES = {bool: "switch", int: "integer", float: "number", str: "text"}
INTRODUCTION = """\
# Flags and architectures

Written by `lightpaff flags > docs/flags.md`; do not edit. `fairseq-train --help` shows none of
these. On the command line `--user-dir "$(lightpaff user-dir)"` makes them known; in hydra's YAML a
flag is spelled as its field (`--kd-lambda 0.5` is `criterion.kd_lambda: 0.5`).
"""


def flags_page() -> str:
    """Return the whole page, in Markdown."""
    sections = [_criterions(), *_tasks(), _pruning(), _architectures()]
    return "\n".join([INTRODUCTION, *sections])


def _own_entries(registry: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a fairseq registry that this plug-in defines, sorted by name."""
    return {
        name: entry
        for name, entry in sorted(registry.items())
        if str(entry.__module__).split(".")[0] == PACKAGE
    }


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(columns)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _criterions() -> str:
    kinds = _own_entries(criterions.CRITERION_REGISTRY)
    configs = {name: criterions.CRITERION_DATACLASS_REGISTRY[name] for name in kinds}
    rows = []
    for name, kind in kinds.items():
        of_stock = [
            x for x in flag_fields(configs[name]) if not x.name.startswith(TRAINING_PREFIXES)
        ]
        flags = [_flag(field) for field in of_stock]
        summary = _summary(kind).rstrip(".")
        rows.append([f"`{name}`", summary, f"`{stock_criterion(name)}`", " ".join(flags) or "none"])
    columns = ["--criterion", "what is distilled", "extends", "flags of the stock criterion"]
    sections = [f"## Criterions\n\n{_table(columns, rows)}"]
    embedding = {"kd_embed": configs.pop("kd_embed")}
    sections.append(f"## Flags of distillation\n\n{kd_flags_table(configs)}")
    sections.append(f"## Flags of `--criterion kd_embed`\n\n{kd_flags_table(embedding)}")
    return "\n".join(sections)


def kd_flags_table(configs: dict[str, Any]) -> str:
    """Return the plug-in's flags of all criterions; the text of one that only some have names them.

    Args:
        configs: name of the criterion -> its dataclass.
    """
    flags: dict[str, Field[Any]] = {}
    owners: dict[str, list[str]] = {}
    for name, config in configs.items():
        for field in flag_fields(config):
            if field.name.startswith(TRAINING_PREFIXES):
                flags.setdefault(field.name, field)
                owners.setdefault(field.name, []).append(name)
    rows = []
    for key, field in flags.items():
        row = flag_row(field)
        if len(owners[key]) < len(configs):
            row[-1] += f" ({', '.join(owners[key])})"
        rows.append(row)
    return _table(FLAG_COLUMNS, rows)


def _tasks() -> list[str]:
    sections = []
    for name, kind in _own_entries(tasks.TASK_REGISTRY).items():
        if not issubclass(kind, PruningMixin):
            rows = map(flag_row, flag_fields(tasks.TASK_DATACLASS_REGISTRY[name]))
            table = _table(FLAG_COLUMNS, rows)
            sections.append(f"## Flags of `--task {name}`\n\n{_summary(kind)}\n\n{table}")
    return sections


def _pruning() -> str:
    """List the prunable tasks, and the flags that they add to those of the tasks they extend."""
    rows = [
        [f"`{name}`", f"`{name.removeprefix(PRUNABLE)}`", _summary(kind)]
        for name, kind in _own_entries(tasks.TASK_REGISTRY).items()
        if issubclass(kind, PruningMixin)
    ]
    table = _table(["--task", "extends", "what it does"], rows)
    flags = _table(FLAG_COLUMNS, map(flag_row, flag_fields(PruningConfig)))
    return f"## Pruning\n\n{table}\n{flags}"


def flag_fields(config: Any) -> list[Field[Any]]:
    """Return the fields of a dataclass that are flags of its own, not of another section."""
    return [f for f in fields(config) if not f.name.startswith("_") and f.metadata.get("help")]


def flag_row(field: Field[Any]) -> list[str]:
    """Return flag, values, default and meaning, in Markdown."""
    meaning = " ".join(str(field.metadata["help"]).replace("%%", "%").split())
    for character, escaped in (("|", "\\|"), ("<", "&lt;")):
        meaning = meaning.replace(character, escaped)
    return [_flag(field), _values(field.type), _default(field), meaning]


def _flag(field: Field[Any]) -> str:
    return "`data`" if field.name == "data" else f"`--{field.name.replace('_', '-')}`"


def _values(kind: Any) -> str:
    """Name the type of a flag, or list its choices."""
    kinds = [k for k in get_args(kind) if k is not type(None)]
    if get_origin(kind) is list:
        return f"list of {TYPE_NAMES[kinds[0]]}s, separated by commas"
    if kinds:  # Optional
        return _values(kinds[0])
    if issubclass(kind, enum.Enum):  # fairseq's ChoiceEnum
        return ", ".join(str(member.value) for member in kind)
    return TYPE_NAMES[kind]


def _default(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "required"
    value = field.default if field.default_factory is NO_DEFAULT else field.default_factory()
    if value is None or value is False or value == []:
        return "off" if value is False else "none"
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return f"`{value.value if isinstance(value, enum.Enum) else value}`"


def _architectures() -> str:
    rows = []
    for arch in _own_entries(models.ARCH_CONFIG_REGISTRY):
        fixed, each = parameter_formula(arch)
        counts = [f"{(fixed + each * v) / 1e6:.1f} M" for v in VOCABULARIES]
        model = models.ARCH_MODEL_NAME_REGISTRY[arch]
        rows.append([f"`{arch}`", f"`{model}`", _sizes(arch), f"{fixed:,} + {each:,} V", *counts])
    columns = ["--arch", "model", "layers x width x heads, FFN", "parameters, vocabulary size V"]
    columns += [f"V = {v:,}" for v in VOCABULARIES]
    return f"## Architectures\n\n{_table(columns, rows)}"


def _arch_args(arch: str) -> Namespace:
    """Return the values of an architecture, given what a task's parser adds."""
    args = Namespace(arch=arch, tokens_per_sample=512, max_target_positions=None)
    models.ARCH_CONFIG_REGISTRY[arch](args)
    return args


def _sizes(arch: str) -> str:
    args = vars(_arch_args(arch))
    stacks = [stack for stack in ("encoder", "decoder") if f"{stack}_layers" in args]
    layers = "+".join(str(args[f"{stack}_layers"]) for stack in stacks)
    names = "embed_dim", "attention_heads", "ffn_embed_dim"
    width, heads, ffn = (args[f"{stacks[0]}_{name}"] for name in names)
    return f"{layers} x {width} x {heads}, {ffn}"


def parameter_formula(arch: str) -> tuple[int, int]:
    """Return an architecture's parameters: (without the vocabulary's, per symbol of it)."""
    few, more = (_count_parameters(arch, symbols) for symbols in (100, 101))
    return few - 100 * (more - few), more - few


def _count_parameters(arch: str, symbols: int) -> int:
    dictionary = Dictionary()
    for i in range(symbols - dictionary.nspecial):
        dictionary.add_symbol(f"w{i}")
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)
    with FakeTensorMode():  # shapes without memory; unlike the meta device it lets BERT initialize
        model = models.ARCH_MODEL_REGISTRY[arch].build_model(_arch_args(arch), task)
    return sum(p.numel() for p in model.parameters())
