"""`lightpaff trim-vocab`: cut the tokens that a task never sees out of a model."""

import argparse
import logging
from pathlib import Path

from ..flags import add_flags, parse_flags
from ..trimming.cut_list import SHARED
from ..trimming.job import Trimmed, trim
from ..trimming.rebinarize import Rewritten, rebinarize
from ..trimming.trim_request import TrimRequest


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Keep the tokens of a model that its data need, and cut the others out of its tables, "
        "dictionaries and tokenizer: --path and --data count and cut, --like and --path cut a "
        "student alike, --like and --rebinarize rewrite binarized data."
    )
    parser.allow_abbrev = False
    add_flags(parser, TrimRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Trim a model, or rewrite data; print what became of them.

    Raises:
        ValueError: see `trim` and `rebinarize`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    request = parse_flags(args, TrimRequest)
    if request.rebinarize is not None:
        request.check()
        _print_data(request, rebinarize(request))
    else:
        _print_model(request.out, trim(request))
    return 0


def _print_model(out: Path, trimmed: Trimmed) -> None:
    for name, side in trimmed.kept.sides.items():
        whose = "" if name == SHARED else f"{name}: "
        share = trimmed.coverage.get(name)
        covered = "" if share is None else f", {100 * share:.2f} % of the data's"
        print(f"{whose}{len(side.kept):,} of {len(side.symbols):,} tokens{covered}")
        print(f"{whose}cut: {out / side.cut}")
    (before, after), sizes = trimmed.parameters, [x / 1e6 for x in trimmed.sizes]
    print(f"{before:,} -> {after:,} parameters, {sizes[0]:.1f} -> {sizes[1]:.1f} MB: {out}")
    for note in trimmed.notes:
        print(f"note: {note}")


def _print_data(request: TrimRequest, total: Rewritten) -> None:
    print(
        f"{request.out}: {total.sentences:,} sentences, {total.respelled:,} spelled with other "
        f"tokens; {total.before:,} -> {total.after:,} tokens, {total.unknown:,} of them unknown now"
    )
