"""`lightpaff init-student`: a student's first checkpoint, cut out of its teacher."""

import argparse
import logging

from ..flags import add_flags, parse_flags
from ..pruning.init_student import StudentRequest, init_student

DESCRIPTION = (
    "Write a checkpoint in which a student starts from its teacher's weights: some layers of "
    "encoder and decoder, all embeddings and heads and, if it is narrower, some of the dimensions, "
    "the same ones through the whole residual stream. Every other flag is one of fairseq-train for "
    "the student's model (--encoder-layers 2, --max-positions 512, ...): give here the --arch and "
    "the flags that the training will have. The teacher must be of the same family "
    "(transformer or mass, roberta, transformer_lm) and have the same dictionary. Train with "
    "--finetune-from-model OUT."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.allow_abbrev = False
    add_flags(parser, StudentRequest)
    parser.set_defaults(func=run, takes_more=True)


def run(args: argparse.Namespace) -> int:
    """Write one student and print what it is made of.

    Raises:
        ValueError: see `init_student`.
    """
    logging.getLogger("hydra").setLevel(logging.INFO)  # fairseq logs even debugging messages
    print("\n".join(init_student(parse_flags(args, StudentRequest), args.fairseq_flags)))
    return 0
