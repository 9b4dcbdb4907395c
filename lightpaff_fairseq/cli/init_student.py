"""`lightpaff init-student`: initialize a student from its teacher's weights."""

import argparse
import logging

from ..flags import add_flags, parse_flags
from ..pruning.init_student import StudentRequest, init_student

DESCRIPTION = (
    "Write a checkpoint of a student with weights of its teacher: some layers of encoder and "
    "decoder, all embeddings and heads and, if the student is narrower, some of the dimensions, "
    "the same ones in the whole residual stream. All other flags are model flags of fairseq-train "
    "(--encoder-layers 2, --max-positions 512, ...): use the --arch and the flags of the training "
    "command. The teacher must be of the same family (transformer or mass, roberta, "
    "transformer_lm) and have the same dictionary. Train with --finetune-from-model OUT."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.allow_abbrev = False
    add_flags(parser, StudentRequest)
    parser.set_defaults(func=run, takes_more=True)


def run(args: argparse.Namespace) -> int:
    """Write one student and print its layers and sizes.

    Raises:
        ValueError: see `init_student`.
    """
    logging.getLogger("hydra").setLevel(logging.INFO)  # fairseq sets the root logger to DEBUG
    print("\n".join(init_student(parse_flags(args, StudentRequest), args.fairseq_flags)))
    return 0
