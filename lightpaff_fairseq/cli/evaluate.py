"""`lightpaff evaluate`: quality, size and speed of checkpoints, side by side."""

import argparse
import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.output_file import file_problem, write_json
from ..evaluation import classification, perplexity
from ..evaluation.fairseq_command import read_lines
from ..evaluation.markdown_table import Column, format_table
from ..evaluation.model_comparison import Scored, compare, p_value
from ..evaluation.model_rows import ModelFile, Row
from ..evaluation.translation import METRICS, TranslationSettings, columns, evaluate_translation


@dataclass(frozen=True)
class Result:
    """What a kind of models gives: the rows, the columns to print, and lines below the table."""

    rows: list[Row]
    columns: Sequence[Column]
    notes: list[str]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Prints one table. translation: fairseq-generate, then BLEU, chrF, ROUGE. "
        "language_modeling: fairseq-eval-lm, perplexity per token and per word. "
        "sentence_prediction: accuracy, F1, MCC, or Pearson and Spearman. Ratios are relative to "
        "the first checkpoint (the teacher)."
    )
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="binarized data, as for fairseq")
    add("--path", nargs="+", required=True, type=Path, metavar="FILE", help="fairseq checkpoints")
    add("--name", nargs="+", metavar="NAME", help="names of the rows (default: the files' names)")
    add("--task", default="translation", choices=tuple(TASKS), help="default: %(default)s")
    add("--gen-subset", default="test", metavar="SPLIT", help="split (default: %(default)s)")
    add("--out", type=Path, metavar="FILE", help="also write the rows as JSON here")
    text = "raw text, a line a sentence; several: as many references a sentence (language_modeling:"
    text += " counts the words)"
    add("--references", nargs="+", type=Path, metavar="FILE", default=[], help=text)
    text = "of batches, except for sentence_prediction (default: %(default)s)"
    add("--max-tokens", type=int, default=4000, metavar="N", help=text)
    text = 'more for fairseq-generate or fairseq-eval-lm, as "--lenpen 0.6 --cpu"'
    add("--generate-flags", default="", metavar="TEXT", help=text)
    text = "runs a model (default: %(default)s); speed is the median"
    add("--repeats", type=int, default=3, metavar="N", help=text)
    add_translation_flags(parser)
    text = "most tokens a block, as in training (default: %(default)s)"
    add = parser.add_argument_group("language_modeling").add_argument
    add("--tokens-per-sample", type=int, default=128, metavar="N", help=text)
    parser.set_defaults(func=run)


def add_translation_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of --task translation alone."""
    add = parser.add_argument_group("translation").add_argument
    text = "(default: %(default)s); rouge needs the package rouge-score"
    default = ["bleu", "chrf"]
    add("--metrics", nargs="+", choices=METRICS, default=default, metavar="NAME", help=text)
    add("--beam", type=int, default=5, metavar="N", help="beam size (default: %(default)s)")
    text = "as fairseq's (default: %(default)s); none = off"
    add("--remove-bpe", default="sentencepiece", metavar="KIND", help=text)
    text = "say what the second gained over the first"
    add("--compare", nargs=2, metavar="NAME", help=text)


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints the table and writes the JSON file.

    Raises:
        ValueError: bad flags or files, see `check` and the modules of `evaluation`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every file it reads
    models = check(args)
    result = TASKS[args.task](models, args)
    print("\n".join([format_table(result.rows, result.columns), *result.notes]))
    if args.out:
        write_json(args.out, result.rows, "--out")
    return 0


def translation(models: Sequence[ModelFile], args: argparse.Namespace) -> Result:
    """fairseq-generate and BLEU, chrF or ROUGE."""
    flags = ["--beam", str(args.beam), "--max-tokens", str(args.max_tokens)]
    if args.remove_bpe != "none":
        flags += ["--remove-bpe", args.remove_bpe]
    flags += shlex.split(args.generate_flags)
    settings = TranslationSettings(
        args.data, tuple(args.references), args.gen_subset, tuple(flags), tuple(args.metrics)
    )
    rows, hypotheses = evaluate_translation(models, settings, args.repeats)
    signatures = [key for key in rows[0] if key.endswith("_signature")]
    notes = ["; ".join(f"{key.split('_')[0]} {rows[0][key]}" for key in signatures)]
    if args.compare:
        notes.append(comparison(rows, hypotheses, args))
    return Result(rows, columns(args.metrics), notes)


def language_models(models: Sequence[ModelFile], args: argparse.Namespace) -> Result:
    """fairseq-eval-lm, and the conversion to words."""
    text = args.references[0] if args.references else None
    corpus = perplexity.read_corpus(args.data, args.gen_subset, text)
    flags = ["--tokens-per-sample", str(args.tokens_per_sample)]
    flags += ["--max-tokens", str(args.max_tokens), *shlex.split(args.generate_flags)]
    rows = perplexity.evaluate_language_models(models, corpus, flags, args.repeats)
    words = "" if corpus.words is None else f", {corpus.words} words"
    note = f"{corpus.tokens} tokens ({corpus.unknown} unknown){words}, ends of lines included"
    return Result(rows, perplexity.columns(rows), [note])


def sentences(models: Sequence[ModelFile], args: argparse.Namespace) -> Result:
    """Classification or regression of sentences."""
    data, subset, repeats = args.data, args.gen_subset, args.repeats
    rows = classification.evaluate_classification(models, data, subset, repeats)
    return Result(rows, classification.columns(rows), [f"{rows[0]['sentences']} sentences"])


TASKS: dict[str, Callable[[Sequence[ModelFile], argparse.Namespace], Result]] = {
    "translation": translation,
    "language_modeling": language_models,
    "sentence_prediction": sentences,
}


def check(args: argparse.Namespace) -> list[ModelFile]:
    """The models to measure.

    Raises:
        ValueError: lists all values that cannot be right.
    """
    names = args.name or [path.stem for path in args.path]
    problems = [
        f"{flag}: expected 1 or more, found {value}"
        for flag, value in (
            ("--beam", args.beam),
            ("--repeats", args.repeats),
            ("--max-tokens", args.max_tokens),
            ("--tokens-per-sample", args.tokens_per_sample),
        )
        if value < 1
    ]
    if len(names) != len(args.path):
        problems.append(f"--name: expected {len(args.path)} names, as --path, found {len(names)}")
    if len(set(names)) != len(names):
        problems.append(f"--name: expected different names, found {' '.join(names)}")
    problems += _problems_of_task(args)
    unknown = [name for name in args.compare or [] if name not in names]
    if unknown:
        problems.append(f"--compare: expected names out of {names}, found {unknown}")
    if not args.data.is_dir():
        problems.append(f"DATA {args.data}: expected a folder of binarized data, found none")
    problems += [f"--path {path}: no such file" for path in args.path if not path.is_file()]
    out_problem = file_problem(args.out, "--out", overwrite=True) if args.out else None
    problems += [out_problem] if out_problem else []
    if problems:
        raise ValueError("; ".join(problems))
    return [ModelFile(name, path) for name, path in zip(names, args.path, strict=True)]


def _problems_of_task(args: argparse.Namespace) -> list[str]:
    problems = []
    found = len(args.references)
    if args.task == "translation" and not found:
        problems.append("--references: expected a text file, --task translation needs one")
    if args.task == "language_modeling" and found > 1:
        problems.append(f"--references: expected one text file to count words in, found {found}")
    if args.compare and (args.task != "translation" or {"bleu", "chrf"} - set(args.metrics)):
        problems.append("--compare: expected --task translation with --metrics bleu chrf")
    return problems


def comparison(
    rows: Sequence[Row], hypotheses: Sequence[Sequence[str]], args: argparse.Namespace
) -> str:
    """The sentence for `--compare`."""
    scored = {
        row["name"]: Scored(row["name"], row["bleu"], row["chrf"], texts)
        for row, texts in zip(rows, hypotheses, strict=True)
    }
    first, second = (scored[name] for name in args.compare)
    p = p_value(first, second, read_lines(args.references[0]))
    return compare(first, second, scored[rows[0]["name"]], p)
