"""`lightpaff export`: a student for CTranslate2, ONNX Runtime or transformers."""

import argparse
import logging
import sys
from dataclasses import fields
from pathlib import Path

from ..export.export_formats import FORMATS
from ..export.export_request import ExportReport, ExportRequest
from ..export.exporter import export

QUANTIZATIONS = sorted({q for target in FORMATS.values() for q in target.quantizations})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Writes a folder that serves a student without fairseq: the model, its "
        "dictionaries, and use.py, which shows how. It appears only if the exported model computes "
        "what fairseq computes (log-probabilities to 1e-4, the same translations) and, with "
        "quantized weights, loses at most --max-drop on a split. ctranslate2: translation and "
        "language models; onnx: BERT."
    )
    add = parser.add_argument
    add("--path", required=True, type=Path, metavar="FILE", help="fairseq checkpoint")
    add("--to", required=True, choices=tuple(FORMATS), help="format")
    add("--out", required=True, type=Path, metavar="DIR", help="folder to write")
    add("--force", action="store_true", help="replace an exported folder (default: refuse)")
    text = "folder with dict.*.txt and splits (default: where the checkpoint was trained)"
    add("--data", type=Path, metavar="DIR", help=text)
    text = "of the weights (default: float32)"
    add("--quantization", choices=QUANTIZATIONS, help=text)
    text = "split of --data to compare on (default: valid; without one, random symbols)"
    add("--gen-subset", dest="subset", metavar="SPLIT", help=text)
    text = "of it, for the score of quantized weights; 0 = all (default: %(default)s)"
    add("--sentences", type=int, default=500, metavar="N", help=text)
    text = "the most that quantized weights may lose: points of BLEU, accuracy or Pearson's "
    text += "correlation, or percent of perplexity (default: %(default)s)"
    add("--max-drop", type=float, default=0.5, metavar="X", help=text)
    text = "for BLEU, as fairseq's; none = off (default: as the dictionary looks)"
    add("--remove-bpe", metavar="KIND", help=text)
    text = "to put beside the model, for the script in its README (default: none)"
    add("--sentencepiece-model", type=Path, metavar="FILE", help=text)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Exports one checkpoint and prints what was compared, and sizes.

    Raises:
        ValueError: see `export`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every file it reads
    request = ExportRequest(
        **{field.name: getattr(args, field.name) for field in fields(ExportRequest)}
    )
    report = export(request)
    print(f"{args.path} -> {args.out} ({folder_megabytes(args.out):.1f} MB)")
    print("\n".join(describe(report, args.quantization)))
    if report.parity.inputs == "random symbols":
        text = "no split in the data: compared on random symbols; --gen-subset names one"
        print(text, file=sys.stderr)
    return 0


def describe(report: ExportReport, quantization: str | None) -> list[str]:
    """Lines on what was compared."""
    parity = report.parity
    count = f"{parity.sentences} sentences, " if parity.sentences else ""
    lines = [
        f"float32 against fairseq ({count}{parity.inputs}): largest difference "
        f"{parity.largest_difference:.1e}"
    ]
    if parity.beams is not None:
        lines[0] += f", {parity.beams} translations the same"
    if report.before and report.after:
        lines.append(
            f"{quantization}: {report.after.name} {report.after.score:.2f}, fairseq "
            f"{report.before.score:.2f}"
        )
    return lines


def folder_megabytes(folder: Path) -> float:
    """Size of all files in a folder, in 10^6 bytes."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
