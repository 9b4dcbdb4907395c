"""`lightpaff seq-kd`: the training data as the teacher would have written them."""

import argparse
import logging
import math
import os
from pathlib import Path
from typing import Any

from ..sequence_kd.choose import BLEU, CHRF, REFERENCE, SCORE, Choice
from ..sequence_kd.job import Request, check_flags, fairseq_config, make_job
from ..sequence_kd.output import check_output
from ..sequence_kd.run import Recipe, assemble, decode
from ..teachers.cache.builder import Shard


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Translates a training set with a teacher and writes a data folder for "
        "fairseq-train --task translation: sequence-level distillation. All other flags are those "
        "of fairseq-generate (DATA, --beam, --nbest, --sampling, --max-len-a, --max-tokens, ...). "
        "A stopped run is continued by the same command."
    )
    parser.allow_abbrev = False
    add = parser.add_argument
    text = "fairseq checkpoint; several, separated by colons, are an ensemble"
    add("--path", required=True, metavar="FILE", help=text)
    add("--out", required=True, type=Path, metavar="FOLDER", help="the data folder to write")
    add("--split", default="train", metavar="NAME", help="what is decoded (default: %(default)s)")
    text = "which of the hypotheses become targets: the teacher's --nbest best, or those most "
    text += "similar to the reference (default: %(default)s)"
    add("--choose", choices=(SCORE, REFERENCE), default=SCORE, help=text)
    text = "similarity of --choose reference, a sentence's; of words if --post-process tells how "
    text += "to join symbols, otherwise of symbols (default: %(default)s)"
    add("--choose-metric", choices=(BLEU, CHRF), default=BLEU, help=text)
    text = "share of original pairs in the data, beside all distilled ones; 0.5: as many as "
    text += "distilled (default: 0, none)"
    add("--mix", type=float, default=0.0, metavar="SHARE", help=text)
    for bound, word in (("min", "shorter"), ("max", "longer")):
        text = f"drop hypotheses {word} than R times the source, in symbols (default: 0, off)"
        add(f"--{bound}-ratio", type=float, default=0.0, metavar="R", help=text)
    text = "keep hypotheses that the length limit ended (default: drop them)"
    add("--keep-cut", action="store_true", help=text)
    text = "all decoded hypotheses, to go on with or to choose from again (default: OUT.hypotheses)"
    add("--hypotheses", type=Path, metavar="FOLDER", help=text)
    _add_running(parser)
    parser.set_defaults(func=run, takes_more=True)


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = "folder with the teacher's dictionaries (default: where it was trained)"
    add("--kd-teacher-data", metavar="FOLDER", help=text)
    text = "sentences a file; so many are lost when a run is stopped (default: %(default)s)"
    add("--block-size", type=int, default=4096, metavar="N", help=text)
    add("--num-shards", type=int, default=1, metavar="N", help="parts decoded by separate runs")
    add("--shard-id", type=int, default=0, metavar="I", help="the part of this run, from 0")
    add("--force", action="store_true", help="replace an --out of seq-kd (default: refuse)")


def run(args: argparse.Namespace) -> int:
    """Decodes, or continues, and writes the data folder once nothing is missing.

    Raises:
        ValueError: bad flags, data or teacher; something else is in the way.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    _check(args)
    args.out = Path(os.path.abspath(args.out))  # `.` has no name
    request = Request(args.path, args.kd_teacher_data, args.split, args.block_size, args.choose)
    cfg = fairseq_config(args.fairseq_flags, request)
    check_flags(cfg, request)
    check_output(args.out, Path(cfg.task.data), args.force)
    folder = args.hypotheses or args.out.with_name(f"{args.out.name}.hypotheses")
    if folder.resolve().is_relative_to(args.out.resolve()):
        raise ValueError(f"--hypotheses {folder}: expected a folder that is not inside --out")
    nbest = cfg.generation.nbest
    choice = Choice(args.choose, nbest, args.min_ratio, args.max_ratio, args.keep_cut)
    job = make_job(cfg, request, choice)
    if args.mix and not job.corpus.has_references:
        raise ValueError(f"--mix {args.mix}: {cfg.task.data} has no references")
    missing = decode(job, folder, Shard(args.shard_id, args.num_shards), _say)
    if missing:
        _say(f"{folder}: {missing} blocks of other shards are missing")
        return 0
    recipe = Recipe(choice, args.choose_metric, args.mix, cfg.common.seed, args.force)
    _say_report(args.out, assemble(job, folder, args.out, recipe))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises one ValueError that lists every value out of range."""
    problems = []
    if not 0 <= args.mix < 1:
        problems.append(f"--mix {args.mix}: expected a share from 0 (none) to below 1")
    for name in ("min_ratio", "max_ratio"):
        if not 0 <= getattr(args, name) < math.inf:
            flag = name.replace("_", "-")
            problems.append(f"--{flag} {getattr(args, name)}: expected 0 (off) or more")
    if args.max_ratio and args.min_ratio > args.max_ratio:
        problems.append(f"--min-ratio {args.min_ratio}: expected at most --max-ratio")
    if args.block_size < 1:
        problems.append(f"--block-size {args.block_size}: expected 1 or more")
    shard_problem = Shard(args.shard_id, args.num_shards).problem()
    problems += [shard_problem] if shard_problem else []
    if problems:
        raise ValueError("; ".join(problems))


def _say_report(out: Path, report: dict[str, Any]) -> None:
    pairs, means = report["pairs"], report["mean length"]
    _say(
        f"{out}: {sum(pairs.values()):,} pairs: {pairs['distilled']:,} distilled from "
        f"{report['sentences']:,} sentences, {pairs['original']:,} original"
    )
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in report["dropped"].items())
    _say(f"dropped: {dropped or 'none'}")
    _say(f"mean length in symbols: sources {means['sources']}, hypotheses {means['hypotheses']}")


def _say(text: str) -> None:
    print(text, flush=True)
