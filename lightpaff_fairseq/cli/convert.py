"""`lightpaff convert`: convert models between fairseq and other libraries."""

import argparse
import importlib
import logging
import warnings

from ..flags import add_flags, parse_flags
from ..huggingface.conversion import Conversion, Converted

CONVERTERS = {"hf": "to_fairseq", "mass": "mass_release", "fairseq": "from_fairseq"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Convert a local Hugging Face folder (BERT, RoBERTa, XLM-R, DistilBERT, ELECTRA, sentence-"
        "transformers, GPT-2, BART, mBART, M2M-100, NLLB, Marian) or a released MASS file to a "
        "fairseq checkpoint with dictionary and tokenizer, or a fairseq checkpoint to a Hugging "
        "Face folder. The output is written only if the logits of both models agree "
        "(docs/huggingface.md)."
    )
    add_flags(parser, Conversion)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Convert one model; print the output's path, the difference, and flags for fairseq.

    Raises:
        ValueError: see `huggingface`.
    """
    warnings.filterwarnings("ignore", module="transformers")
    request: Conversion = parse_flags(args, Conversion)
    request.check()
    name = CONVERTERS[str(request.source[0])]
    converter = importlib.import_module(f"...huggingface.{name}", __name__)
    logging.getLogger().setLevel(logging.WARNING)  # importing fairseq sets DEBUG
    converted: Converted = converter.convert(request)
    print(f"{request.path} -> {converted.path}")
    if converted.compared is not None:
        print(f"compared: {converted.compared}")
    for note in converted.notes:
        print(f"note: {note}")
    if converted.flags:
        print(f"model: {' '.join(converted.flags)}")
        print(f"text, as files in {request.out}: {converted.encoding}")
    return 0
