"""`lightpaff init-student`: a student's first checkpoint, cut out of its teacher."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..pruning.init_student import StudentInit, init_student
from ..pruning.one_shot import MEASURES, Sample

DESCRIPTION = (
    "Writes a checkpoint in which a student starts from its teacher's weights: some layers of "
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
    add = parser.add_argument
    add("--teacher", required=True, type=Path, metavar="FILE", help="fairseq checkpoint to read")
    add("--arch", required=True, metavar="ARCH", help="the student's, as for fairseq-train")
    add("--out", required=True, type=Path, metavar="FILE", help="checkpoint to write")
    add(
        "--layers",
        default="uniform",
        metavar="MAP",
        help="teacher layers to copy: uniform (every n-th, n = teacher / student layers, rounded "
        "down), first, last, or as many as the student has, counted from 1, as 2,4,6",
    )
    add("--decoder-layers-map", metavar="MAP", help="the decoder's (None: as --layers)")
    add(
        "--width-by",
        default=MEASURES[0],
        choices=MEASURES,
        help="which dimensions a narrower student keeps: the largest weights, those with the "
        "largest effect on the loss of some batches (weight times gradient), or the first ones",
    )
    add("--data", metavar="DATA", help="the teacher's data folder (None: where it was trained)")
    batches = Sample()
    add("--importance-batches", type=int, default=batches.batches, metavar="N", help="to measure")
    add(
        "--importance-max-tokens",
        type=int,
        default=batches.max_tokens,
        metavar="N",
        help="tokens in each of them",
    )
    add("--importance-split", default=batches.split, metavar="SPLIT", help="where they are from")
    add("--force", action="store_true", help="overwrite --out (default: refuse)")
    parser.set_defaults(func=run)
    _keep_unknown(parser)


def _keep_unknown(parser: Any) -> None:
    """Makes a parser put the arguments that it does not know into `args.flags`."""
    parse_known = parser.parse_known_args

    def keep(
        args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        found, unknown = parse_known(args, namespace)
        found.flags = tuple(unknown)
        return found, []

    parser.parse_known_args = keep


def run(args: argparse.Namespace) -> int:
    """Writes one student and prints what it is made of.

    Raises:
        ValueError: see `init_student`.
    """
    logging.getLogger("hydra").setLevel(logging.INFO)  # fairseq shows even debugging messages
    wanted = StudentInit(
        teacher=args.teacher,
        out=args.out,
        arch=args.arch,
        flags=args.flags,
        layers=args.layers,
        decoder_layers=args.decoder_layers_map,
        width_by=args.width_by,
        data=args.data,
        sample=Sample(args.importance_batches, args.importance_max_tokens, args.importance_split),
        overwrite=args.force,
    )
    print("\n".join(init_student(wanted)))
    return 0
