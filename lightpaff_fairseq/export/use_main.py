"""The text of use.py around the model: what is read, cut and printed."""

from .text_codec import BYTES, SENTENCEPIECE, WORDPIECE, WORDS

START = '''"""Print the model's answer for every line of standard input; see README.md."""

IMPORTS

folder = os.path.dirname(os.path.abspath(__file__))
'''

SPLIT = {
    SENTENCEPIECE: """pieces = sentencepiece.SentencePieceProcessor(FILES)


def split(line):
    return pieces.encode(line.strip(), out_type=str)
""",
    WORDPIECE: """tokenizer = tokenizers.BertWordPieceTokenizer(FILES, lowercase=LOWER)


def split(line):
    return tokenizer.encode(line.strip(), add_special_tokens=False).tokens
""",
    BYTES: """tokenizer = tokenizers.ByteLevelBPETokenizer(FILES)


def split(line):
    return [str(i) for i in tokenizer.encode(line.rstrip("\\r\\n")).ids]
""",
    WORDS: """

def split(line):
    return line.split()  # tokenized like the training data
""",
}
JOIN = {SENTENCEPIECE: "pieces.decode", WORDS: '" ".join'}
STARTS_WORD = {
    SENTENCEPIECE: 'text[i].startswith("\\u2581")',
    WORDS: 'not text[i - 1].endswith("@@")',
}

PARTS = """

def parts(text, number):  # of at most LONGEST tokens; none of an empty line
    cut, rest = [], text
    while rest:
        end = last_end(rest)
        cut.append(rest[:end])
        rest = rest[end:]
    if len(cut) > 1:
        limit = f"{len(text)} tokens, but the model supports {LONGEST} at most"
        notice(number, f"{limit}: translated in {len(cut)} parts")
    return cut


def last_end(text):  # of the sentences that fit, otherwise of the words
    if len(text) <= LONGEST:
        return len(text)
    last = range(1, LONGEST + 1)
    words = [i for i in last if STARTS_WORD or text[i - 1][-1] in "。！？"]
    sentences = [i for i in words if text[i - 1][-1] in ".!?…。！？"]
    return (sentences or words or last)[-1]
"""

LEAVE_OUT = """

def parts(text, number):  # none if it is too long
    if len(text) <= LONGEST:
        return [text]
    notice(number, f"{len(text)} tokens, but the model supports {LONGEST} at most: no answer")
    return []
"""

SPLIT_PAIR = """

def split(line):  # a pair of sentences
    return [tokens(sentence) for sentence in line.rstrip("\\r\\n").split("\\t")]
"""

LEAVE_OUT_PAIRS = """

def parts(pair, number):  # none if it is no pair, or too long
    if len(pair) != 2:
        notice(number, f"expected two sentences separated by a tab, got {len(pair)}: no answer")
        return []
    length = sum(map(len, pair))
    if length <= LONGEST:
        return [pair]
    notice(number, f"{length} tokens, but the model supports {LONGEST} at most: no answer")
    return []
"""

MAIN = """

def notice(number, text):
    print(f"line {number}: {text}", file=sys.stderr)


def decode(line, number):
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        notice(number, "not UTF-8: the invalid bytes are replaced")
        return line.decode("utf-8", errors="replace")


def positive(word):
    if int(word) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {word}")
    return int(word)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--chunk",
        type=positive,
        default=1 if sys.stdin.isatty() else CHUNK,
        metavar="N",
        help="lines that are read, sorted and answered together (default: 1 from a terminal, "
        f"otherwise {CHUNK})",
    )
    add_flags(parser)
    return parser.parse_args()


def main():
    flags = parse()
    model = load(flags)
    sys.stdout.reconfigure(encoding="utf-8")
    read = 0  # lines
    while lines := list(itertools.islice(sys.stdin.buffer, flags.chunk)):
        numbered = list(enumerate(lines, read + 1))
        cut = {number: parts(split(decode(line, number)), number) for number, line in numbered}
        numbers = [number for number, texts in cut.items() for _ in texts]
        texts = [text for texts in cut.values() for text in texts]
        answers = iter(answer(model, texts, numbers, flags) if texts else [])
        for texts in cut.values():
            print(" ".join(next(answers) for _ in texts).replace("\\n", " "))
        sys.stdout.flush()
        read += len(lines)


if __name__ == "__main__":
    main()
"""
