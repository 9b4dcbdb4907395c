"""Which flags a message of a sub-command may name: its own, and fairseq's where it takes them."""

import argparse
import re

from fairseq import options

import toy
from lightpaff_fairseq.cli import cache_teacher
from lightpaff_fairseq.cli.main import build_parser

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def own_flags(command):
    """The flags of a sub-command's own parser."""
    (choices,) = (
        action.choices
        for action in build_parser([command])._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return set(choices[command]._option_string_actions)


def fairseq_flags(command, task):
    """The flags of fairseq that the sub-command hands on and uses."""
    if command == "seq-kd":
        parser, words = options.get_generation_parser(), ["x"]
    else:
        parser, words = options.get_training_parser(), ["x", "--arch", "transformer"]
        words += ["--criterion", cache_teacher.CRITERIONS[task], "--optimizer", "adam"]
    words += ["--task", task, "--user-dir", toy.USER_DIR]
    options.parse_args_and_arch(parser, words)  # adds the flags of the task and the like
    return set(parser._option_string_actions)


def check_flags(command, message, task="translation"):
    """Every flag in the message is one that the user of the command can give."""
    known = own_flags(command)
    if command in ("seq-kd", "cache-teacher"):
        ignored = {f for f in fairseq_flags(command, task) if f.startswith("--kd-")}
        known |= fairseq_flags(command, task) - (ignored - {"--kd-teacher-data"})
    unknown = set(FLAG.findall(message)) - known
    assert not unknown, f"lightpaff {command} has no {unknown}: {message}"
    assert "explicitly" not in message
