"""The flags of fairseq-train that give a section of a configuration its values."""

import shlex
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fairseq.models as models
from fairseq import tasks

from ..checkpoints.building import value_of

DROPOUTS = ("dropout", "attention_dropout", "activation_dropout")  # of a training, not a model
# Of a task: flags of another run's files, validation and speed.
NOT_COPIED = frozenset(
    "data train_subset valid_subset dataset_impl seed eval_bleu eval_bleu_args eval_bleu_detok "
    "eval_bleu_detok_args eval_tokenized_bleu eval_bleu_remove_bpe eval_bleu_print_samples "
    "load_alignments use_plasma_view plasma_path tpu batch_size batch_size_valid "
    "data_buffer_size".split()
)


def model_flags(arch: str, section: Any, changed: Mapping[str, Any]) -> list[str]:
    """Return the flags after `--arch ARCH` for a model with the values of a section.

    Args:
        arch: an architecture of fairseq or a plug-in.
        section: model section of a checkpoint, the architecture's defaults filled in.
        changed: values that replace those of the section.
    """
    parser = ArgumentParser(add_help=False)
    models.ARCH_MODEL_REGISTRY[arch].add_args(parser)
    sizes = {k: v for k, v in changed.items() if v is not None}
    defaults = Namespace(**sizes)  # some defaults follow other values, as FFN of the decoder
    models.ARCH_CONFIG_REGISTRY[arch](defaults)
    stock = vars(defaults) | dict.fromkeys(sizes)
    values = {k: v for k, v in _values(parser, section).items() if k not in DROPOUTS}
    return list(_words(parser._actions, {**values, **changed}, stock))


def task_flags(name: str, section: Any) -> list[str]:
    """Return the flags after `--task NAME` for a task with the values of a section."""
    parser = ArgumentParser(add_help=False)
    tasks.TASK_REGISTRY[name].add_args(parser)
    values = {k: v for k, v in _values(parser, section).items() if k not in NOT_COPIED}
    stock = {action.dest: action.default for action in parser._actions}
    return list(_words(parser._actions, values, stock))


def _values(parser: ArgumentParser, section: Any) -> dict[str, Any]:
    names = [action.dest for action in parser._actions if action.option_strings]
    return {name: value_of(section, name) for name in names}


def _words(
    actions: Sequence[Action], values: Mapping[str, Any], stock: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the words for every value that is not the stock one."""
    seen = set()
    for action in actions:
        value = values.get(action.dest)
        known = stock.get(action.dest, action.default)
        if value is None or value == known or action.dest in seen or not action.option_strings:
            continue
        if action.nargs == 0:  # a switch
            if value != action.const:
                continue
            yield action.option_strings[-1]
        else:
            yield from (action.option_strings[-1], _text(value))
        seen.add(action.dest)


def _text(value: Any) -> str:
    return (
        str(list(value)) if isinstance(value, list | tuple) else str(getattr(value, "value", value))
    )


def quoted(words: Sequence[str]) -> str:
    """Return words as one line for a shell."""
    return shlex.join(words)
