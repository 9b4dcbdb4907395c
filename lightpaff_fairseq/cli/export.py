"""`lightpaff export`: export a student to CTranslate2, ONNX Runtime or transformers."""

import argparse
import logging
import sys
from dataclasses import asdict

import torch

from ..evaluation.markdown_table import Column, decimals, format_table
from ..export.export_request import ExportReport, ExportRequest
from ..export.exporter import export
from ..export.search_choice import AUTO, FLOAT, REFERENCE, SHORTLIST
from ..export.shortlist_report import ShortlistReport
from ..flags import add_flags, parse_flags
from ..megabytes import megabytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write a folder with which a student runs without fairseq: the model, its dictionaries, "
        "and the example use.py. It is written only if the exported model agrees with fairseq "
        "(log-probabilities to 1e-4, equal translations) and, with quantized weights, loses at "
        "most --max-drop on a split. ctranslate2: translation and language models; onnx: BERT; hf: "
        "the models of lightpaff convert."
    )
    add_flags(parser, ExportRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Export one checkpoint; print the comparisons and the size.

    Raises:
        ValueError: see `export`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every file it reads
    request = parse_flags(args, ExportRequest)
    report = export(request)
    print(f"{request.path} -> {request.out} ({megabytes(request.out.iterdir()):.1f} MB)")
    print("\n".join([*_describe(report, request.quantization), *_searches(request, report)]))
    if report.parity.inputs == "random tokens":
        text = "warning: no split in the data, compared on random tokens; set --gen-subset"
        print(text, file=sys.stderr)
    return 0


def _describe(report: ExportReport, quantization: str | None) -> list[str]:
    parity = report.parity
    count = f"{parity.sentences} sentences, " if parity.sentences else ""
    beams = "" if parity.beams is None else f", {parity.beams} equal translations"
    lines = [
        f"float32 against fairseq ({count}{parity.inputs}): largest difference "
        f"{parity.largest_difference:.1e}{beams}"
    ]
    if report.before and report.after:
        served = f"{quantization or FLOAT}{SHORTLIST if report.shortlist else ''}"
        lines.append(
            f"{served}: {report.after.name} {report.after.score:.2f}, fairseq "
            f"{report.before.score:.2f} ({report.basis})"
        )
    if report.shortlist:
        lines += _describe_shortlist(report.shortlist)
    return lines


def _describe_shortlist(report: ShortlistReport) -> list[str]:
    covered = report.coverage
    lines = [
        f"shortlist: {report.rules:,} rules from {report.pairs:,} pairs in {report.seconds:.0f} s; "
        f"allows {covered.references:.1%} of the reference tokens and {covered.outputs:.1%} of the "
        "tokens of the outputs without it"
    ]
    if report.skipped:
        lines[0] += f"; skips {report.skipped} tokens that contain a blank"
    for each in report.scores:
        speeds = [each.sentences / x for x in (each.seconds_without, each.seconds)]
        lines.append(
            f"  batches of {each.batch}: {each.candidates:,.0f} target tokens allowed, "
            f"{each.quality.name} {each.without.score:.2f} -> {each.quality.score:.2f}, "
            f"{speeds[0]:.0f} -> {speeds[1]:.0f} sentences/s ({each.times_faster:.2f}x)"
        )
    return lines


def _searches(request: ExportRequest, report: ExportReport) -> list[str]:
    """Return the measured beam sizes, and which of them use.py runs."""
    if not report.rows:
        return []
    columns = [
        Column("weights", "weights"),
        Column("beam", "beam"),
        Column("BLEU", "bleu", decimals(2)),
        Column("sentences/s", "sentences_per_s", decimals(0)),
    ]
    chosen = f"use.py runs beam {report.beam}"
    if request.beam == AUTO:
        limit = f"{request.max_drop:g} BLEU below fairseq with beam {REFERENCE}"
        chosen += f", the fastest that is at most {limit} (change it by --beam)"
    return [
        f"BLEU of {report.basis}; sentences/s on {torch.get_num_threads()} threads",
        format_table([asdict(row) for row in report.rows], columns),
        chosen,
    ]
