"""Train SentencePiece for a recipe, write fairseq's dict.txt with the mask symbol, encode text.

subwords.py train --vocab 4000 --model OUT/spm TEXT...     writes OUT/spm.model, OUT/spm.dict.txt
    --lossless: any text can be encoded and decoded exactly (for perplexity per word)
subwords.py encode --model OUT/spm.model < TEXT > PIECES
"""

import argparse
import fileinput
import os
import random
import sys
from pathlib import Path

import sentencepiece as spm

MASK = "<mask>"
SPECIAL = 3  # SentencePiece's <unk> <s> </s>: fairseq has its own


def write_dictionary(model: spm.SentencePieceProcessor, path: Path) -> None:
    """Write the pieces in the model's order, then `<mask>`, as `symbol count` lines.

    All counts are 1: fairseq keeps the order of the lines and does not use the counts here.
    """
    pieces = [model.id_to_piece(i) for i in range(SPECIAL, model.get_piece_size())]
    if MASK in pieces:
        raise ValueError(f"the text contains the piece {MASK}, which is reserved for masking")
    path.write_text("".join(f"{p} 1\n" for p in [*pieces, MASK]), encoding="utf-8")


def sample(paths: list[str], count: int) -> list[str]:
    """Draw `count` random lines with a fixed seed; SentencePiece's own sampling has none."""
    drawn: list[str] = []
    generator = random.Random(1)
    with fileinput.input(paths, encoding="utf-8") as lines:
        for i, line in enumerate(lines):
            if i < count:
                drawn.append(line.rstrip("\n"))
            elif (place := generator.randrange(i + 1)) < count:
                drawn[place] = line.rstrip("\n")
    return drawn


def train(args: argparse.Namespace) -> None:
    """Train the model under a temporary name, write the dictionary, then rename the model."""
    source = {"sentence_iterator": iter(sample(args.text, args.sample))}
    spm.SentencePieceTrainer.train(
        **(source if args.sample else {"input": args.text}),
        model_prefix=f"{args.model}.part",
        vocab_size=args.vocab,
        model_type="unigram",
        character_coverage=1.0,
        byte_fallback=args.lossless,
        normalization_rule_name="identity" if args.lossless else "nmt_nfkc",
        minloglevel=1,
    )
    part = Path(f"{args.model}.part.model")
    model = spm.SentencePieceProcessor(model_file=str(part))
    write_dictionary(model, Path(f"{args.model}.dict.txt"))
    Path(f"{args.model}.part.vocab").unlink()
    os.replace(part, f"{args.model}.model")


def encode(args: argparse.Namespace) -> None:
    """Encode standard input to standard output, line by line."""
    model = spm.SentencePieceProcessor(model_file=args.model)
    for line in sys.stdin:
        print(" ".join(model.encode(line.rstrip("\n"), out_type=str)))


def main() -> None:
    """Parse the command line and run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("train", help="train a joint model and write its dict.txt")
    sub.add_argument("--vocab", type=int, required=True, help="number of pieces")
    sub.add_argument("--model", required=True, help="path of the model, without .model")
    sub.add_argument(
        "--lossless",
        action="store_true",
        help="no normalization, and bytes for characters outside all pieces (default: neither)",
    )
    text = "lines to train on, drawn at random (default: %(default)s = all)"
    sub.add_argument("--sample", type=int, default=0, metavar="N", help=text)
    sub.add_argument("text", nargs="+", help="text files, one sentence per line")
    sub.set_defaults(func=train)
    sub = commands.add_parser("encode", help="encode standard input to standard output")
    sub.add_argument("--model", required=True, help="path of the model, with .model")
    sub.set_defaults(func=encode)
    args = parser.parse_args()
    args.func(args)


if __name__ == "__main__":
    main()
