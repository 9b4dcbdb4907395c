"""`lightpaff subwords`: train SentencePiece for fairseq, and encode text."""

import argparse
from collections.abc import Callable

from ..flags import add_flags, parse_flags
from ..subwords import (
    EncodeSubwordsRequest,
    TrainSubwordsRequest,
    encode_subwords,
    sentencepiece_encoder,
    train_subwords,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two commands to the parser of the sub-command."""
    kinds = parser.add_subparsers(metavar="WHAT", dest="what", required=True)
    train = kinds.add_parser("train", help="train a model and write its dictionary for fairseq")
    train.description = (
        "Train a SentencePiece model on text files, and write OUT.model and OUT.dict.txt, the "
        "dictionary with <mask> for fairseq-preprocess --srcdict OUT.dict.txt."
    )
    add_flags(train, TrainSubwordsRequest)
    train.set_defaults(func=run_train)
    encode = kinds.add_parser("encode", help="split text into the pieces of a model")
    encode.description = (
        "Print the pieces of every line, for fairseq-preprocess: those of a SentencePiece model, "
        "or of the tokenizer of a model that lightpaff convert has converted."
    )
    add_flags(encode, EncodeSubwordsRequest)
    encode.set_defaults(func=run_encode)


def run(args: argparse.Namespace) -> int:
    """Run one of the two commands."""
    code: int = args.func(args)
    return code


def run_train(args: argparse.Namespace) -> int:
    """Train, and print the names of the files.

    Raises:
        ValueError: see `train_subwords`.
    """
    request = parse_flags(args, TrainSubwordsRequest)
    train_subwords(request)
    print(", ".join(map(str, request.files)))
    return 0


def run_encode(args: argparse.Namespace) -> int:
    """Print the encoded lines.

    Raises:
        ValueError: see `encode_subwords`.
    """
    request = parse_flags(args, EncodeSubwordsRequest)
    for line in encode_subwords(request, _encoder(request)):
        print(line)
    return 0


def _encoder(request: EncodeSubwordsRequest) -> Callable[[str], str]:
    """Return the function text -> pieces.

    Raises:
        ValueError: there is no model.
    """
    if not request.model.is_dir():
        return sentencepiece_encoder(request.model)
    from ..huggingface.tokenizers import encoder

    encode = encoder(request.model, "target" if request.target else "source")
    return lambda line: encode(line.strip())
