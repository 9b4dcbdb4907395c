"""`lightpaff convert`: models of other libraries for fairseq, and back."""

import argparse
import logging
import re
import warnings
from pathlib import Path

SOURCES, TARGETS = ("hf", "mass", "fairseq"), ("fairseq", "hf")
LANGUAGES = ("source", "target")  # unless --langs says others
OF = {  # what a flag may be given with
    "segment": ("hf",),
    "langs": ("hf", "mass"),
    "dict": ("mass",),
    "heads": ("mass",),
    "data": ("fairseq",),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Writes a stock fairseq checkpoint with its dictionary and tokenizer from a "
        "local Hugging Face folder (BERT, RoBERTa, XLM-R, GPT-2, BART, mBART, M2M-100, NLLB, "
        "Marian) or a released MASS file, or a Hugging Face folder from a fairseq checkpoint. "
        "Logits of both models are compared before the output appears (docs/interop.md)."
    )
    parser.add_argument(
        "--from",
        dest="source",
        nargs=2,
        required=True,
        metavar=("{hf,mass,fairseq}", "PATH"),
        help="what to read: a Hugging Face folder, a released MASS file, a fairseq checkpoint",
    )
    parser.add_argument(
        "--to",
        dest="target",
        nargs=2,
        required=True,
        metavar=("{fairseq,hf}", "DIR"),
        help="what to write: a folder with model.pt, dict.txt and the tokenizer, or a Hugging Face "
        "folder",
    )
    _add_options(parser)
    parser.add_argument("--force", action="store_true", help="replace the output (default: refuse)")
    parser.set_defaults(func=run)


def _add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of single families."""
    parser.add_argument(
        "--segment",
        type=int,
        metavar="N",
        help="BERT: fold this segment embedding into the positions, for single sentences (default: "
        "refuse models with segments)",
    )
    parser.add_argument(
        "--langs",
        nargs=2,
        metavar=("SRC", "TGT"),
        help="the languages to record in a translation model (default: source target)",
    )
    parser.add_argument(
        "--dict", type=Path, metavar="FILE", help="MASS: its dict.txt (default: beside the file)"
    )
    parser.add_argument(
        "--heads", type=int, metavar="N", help="MASS: attention heads (default: width / 64)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="from fairseq: the folder of its dictionaries (default: the checkpoint's, or where it "
        "was trained)",
    )


def run(args: argparse.Namespace) -> int:
    """Converts one model; prints where it went, how exactly, and how to go on.

    Raises:
        ValueError: see `interop`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    warnings.filterwarnings("ignore", module="transformers")
    (kind, place), (to, out) = args.source, args.target
    if kind not in SOURCES or to not in TARGETS or (kind == "fairseq") != (to == "hf"):
        raise ValueError(
            f"--from {kind} --to {to}: expected --from hf or mass --to fairseq, or --from fairseq "
            "--to hf"
        )
    _check(args, kind)
    if to == "hf":
        return _to_hf(args, Path(place), Path(out))
    return _to_fairseq(args, kind, Path(place), Path(out))


def _check(args: argparse.Namespace, kind: str) -> None:
    """Refuses what would have no effect, and languages that cannot be part of a file's name."""
    problems = [
        f"--{name}: expected with --from {' or '.join(kinds)}, found with --from {kind}"
        for name, kinds in OF.items()
        if getattr(args, name) is not None and kind not in kinds
    ]
    problems += [
        f"--langs: expected two names of letters, digits, _ and -, found {language!r}"
        for language in args.langs or ()
        if not re.fullmatch(r"[\w-]+", language)
    ]
    if problems:
        raise ValueError("; ".join(problems))


def _to_fairseq(args: argparse.Namespace, kind: str, place: Path, out: Path) -> int:
    from ..huggingface import mass_release as mass
    from ..huggingface import to_fairseq as from_hf

    one, two = args.langs or LANGUAGES
    languages = (one, two)
    if kind == "mass":
        wanted = mass.MassConversion(place, out, args.dict, languages, args.heads, args.force)
        found = mass.convert(wanted)
    else:
        found = from_hf.convert(from_hf.Conversion(place, out, args.segment, languages, args.force))
    compared = "" if found.difference is None else f", logits differ by {found.difference:.1e}"
    print(f"{place} -> {out / from_hf.MODEL}{compared}")
    for note in found.notes:
        print(f"note: {note}")
    print(f"model: {' '.join(found.flags)}")
    print(f"text, as files in {out}: {found.encoding}")
    return 0


def _to_hf(args: argparse.Namespace, place: Path, out: Path) -> int:
    from ..checkpoints.output_folder import OutputFolder, new_folder
    from ..export import to_huggingface
    from ..huggingface.from_fairseq import write
    from ..huggingface.hf_parity import TOLERANCE
    from ..huggingface.to_fairseq import MARKS

    read = [place] if args.data is None else [place, args.data]
    OutputFolder(out, "--to hf", MARKS, read).check(args.force)
    with new_folder(out) as folder:
        notes = write(place, args.data, folder)
        difference = to_huggingface.largest_difference(place, args.data, folder)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"--from fairseq {place}: the converted model differs: a log-probability by "
                f"{difference:.2g} (at most {TOLERANCE} expected); nothing was written"
            )
    print(f"{place} -> {out}, log-probabilities differ by {difference:.1e}")
    for note in notes:
        print(f"note: {note}")
    return 0
