"""fairseq's configuration as its log shows it: a Python expression, 12,000 characters long."""

import ast
import math
from typing import Any

_NAMES = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_SHOWN = {  # section -> what of it describes a training; kd_* and prune_* of any section do too
    "task": ("_name", "data", "source_lang", "target_lang", "tokens_per_sample"),
    "model": ("_name", "arch"),
    "criterion": ("_name", "label_smoothing"),
    "optimization": ("lr", "max_update", "max_epoch", "update_freq", "clip_norm"),
    "dataset": ("max_tokens", "batch_size"),
    "optimizer": ("_name", "adam_betas", "weight_decay"),
    "lr_scheduler": ("_name", "warmup_updates"),
    "checkpoint": ("finetune_from_model", "restore_file"),
    "common": ("seed", "fp16", "bf16"),
    "distributed_training": ("distributed_world_size",),
}


def parse_configuration(text: str) -> dict[str, Any]:
    """Section -> name -> value; empty where the text is not what fairseq writes.

    The text is read as literals, `Namespace(...)` included; nothing in it is executed. A choice is
    written without quotes (`'shorten_method': truncate`) and read as its name.
    """
    try:
        value = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_value(key): _value(value) for key, value in pairs if key is not None}
    if isinstance(node, ast.Call):  # Namespace(a=1)
        return {word.arg: _value(word.value) for word in node.keywords if word.arg}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Constant):
        return node.value
    text = ast.unparse(node)
    if text.removeprefix("-").removeprefix("+").isidentifier():
        return _NAMES.get(text, text)
    try:
        return ast.literal_eval(node)  # -1
    except ValueError:
        return text


def value_in(configuration: dict[str, Any], section: str, name: str) -> Any:
    """A value, or None; a section may be missing or be no dictionary."""
    found = configuration.get(section)
    return found.get(name) if isinstance(found, dict) else None


def task_of(configuration: dict[str, Any]) -> str:
    """The task's name, of a prunable one that of the task which it extends; "" if not known."""
    name = value_in(configuration, "task", "_name") or value_in(configuration, "model", "task")
    return str(name or "").removeprefix("prunable_")


def settings(configuration: dict[str, Any]) -> dict[str, Any]:
    """`section.name` -> value of what describes a training, without what is not set."""
    found = {}
    for section, names in _SHOWN.items():
        values = configuration.get(section)
        if not isinstance(values, dict):
            continue
        own = [n for n in values if str(n).startswith(("kd_", "prune_")) and section != "model"]
        for name in (*names, *own):
            if values.get(name) not in (None, "", [], 0, False):
                found[f"{section}.{name}"] = values[name]
    return found
