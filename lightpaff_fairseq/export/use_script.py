"""The use.py of an exported folder, which runs the model without fairseq."""

from dataclasses import dataclass

from .loaded_model import CLASSIFICATION, LANGUAGE_MODELING, MASKED_LM, TRANSLATION

LINES = {MASKED_LM: 4}  # per batch: outputs of masked_lm are (lines, length, vocabulary)
MANY_LINES = 32

_START = """LONGEST = {longest}  # tokens of a line: the model has no more positions
folder = os.path.dirname(os.path.abspath(__file__))
"""
_SPLIT = {
    True: """pieces = sentencepiece.SentencePieceProcessor(f"{folder}/sentencepiece.model")


def split(line):
    return pieces.encode(line.strip(), out_type=str)
""",
    False: """

def split(line):
    return line.split()  # tokenized like the training data
""",
}
_JOIN = {True: "pieces.decode", False: '" ".join'}

_TRANSLATE = """translator = ctranslate2.Translator(folder)


def encode(text):
    return text  # the model adds the end of sentence


def answer(texts):  # an empty text has an empty translation
    results = translator.translate_batch(
        [encode(text) for text in texts],
        beam_size=5,
        max_decoding_length=LONGEST_OUTPUT,
        max_input_length=0,
    )
    return [JOIN(result.hypotheses[0]) for result in results]
"""

_CONTINUE = """generator = ctranslate2.Generator(folder)


def encode(text):
    return ["START", *text]


def answer(texts):  # log-probability of each text, and the text with up to 30 tokens more
    starts = [encode(text) for text in texts]
    scored = generator.score_batch(
        starts, max_batch_size=4096, batch_type="tokens", max_input_length=0
    )
    scores = [sum(x.log_probs) for x in scored]
    more = [[] for _ in texts]
    for size in set(map(len, texts)) - {LONGEST}:  # texts of one batch must be equally long
        chosen = [i for i, text in enumerate(texts) if len(text) == size]
        results = generator.generate_batch(
            [starts[i] for i in chosen],
            max_length=min(30, LONGEST - size),
            include_prompt_in_result=False,
        )
        for i, result in zip(chosen, results):
            more[i] = result.sequences[0]
    joined = [JOIN([*text, *end]) for text, end in zip(texts, more)]
    return [f"{score:.2f}\\t{line}" for score, line in zip(scores, joined)]
"""

_ENCODE = """symbols = json.load(open(f"{folder}/symbols.json", encoding="utf-8"))
ids = {symbol: i for i, symbol in enumerate(symbols)}
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")


def encode(text):
    return [START*(ids.get(x, 3) for x in text), 2]  # 3: <unk>, 2: </s>


def answer(texts):
    rows = [encode(text) for text in texts]
    tokens = np.ones((len(rows), max(map(len, rows))), dtype=np.int64)  # 1: <pad>
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    (output,) = session.run(None, {"tokens": tokens})
"""

_RESULT = {
    "classes": """    return [classes[i] for i in output.argmax(-1)]
""",
    "number": """    return [str(x) for x in output[:, 0]]
""",
    "symbols": """    bests = zip(rows, output.argmax(-1))
    return [" ".join(symbols[i] for i in best[: len(row)]) for row, best in bests]
""",
}
_CLASSES = 'classes = json.load(open(f"{folder}/classes.json", encoding="utf-8"))\n'

_MAIN = """

def main():
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    sys.stdout.reconfigure(encoding="utf-8")
    number = 0  # of the line
    while lines := list(itertools.islice(sys.stdin, LINES)):
        texts = [split(line) for line in lines]
        taken = [text for text in texts if len(text) <= LONGEST]
        answers = iter(answer(taken) if taken else [])
        for number, text in enumerate(texts, number + 1):
            if len(text) <= LONGEST:
                print(next(answers))
                continue
            print()
            reason = f"{len(text)} tokens, but the model supports {LONGEST} at most"
            print(f"line {number} has no answer: {reason}", file=sys.stderr)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True)
class Use:
    """The variables of a script.

    Attributes:
        task: fairseq's task, one of those in `FORMATS`.
        pieces: true if the folder has sentencepiece.model.
        start: the id (sentence_prediction, masked_lm) or token (language_modeling) before every
            sentence, or None.
        classes: true if the folder has classes.json.
        longest: maximum tokens of a text, without what the task adds.
        longest_output: maximum tokens of a translation.
    """

    task: str
    pieces: bool
    start: int | str | None
    classes: bool
    longest: int
    longest_output: int = 0


def script(use: Use) -> str:
    """Return Python that reads sentences from standard input, one per line.

    It prints one line per line. One that is longer than the model takes gets an empty answer, and a
    notice on standard error.
    """
    if use.task == TRANSLATION:
        modules, body = ["ctranslate2"], _TRANSLATE
    elif use.task == LANGUAGE_MODELING:
        modules, body = ["ctranslate2"], _CONTINUE.replace("START", str(use.start))
    else:
        modules, body = ["numpy as np", "onnxruntime"], _encoder(use)
    body = body.replace("JOIN", _JOIN[use.pieces])
    body = body.replace("LONGEST_OUTPUT", str(use.longest_output))
    standard = ["itertools", "json", "os", "sys"]
    if "json." not in body:
        standard.remove("json")
    modules += ["sentencepiece"] if use.pieces else []
    head = "\n\n".join("\n".join(f"import {x}" for x in names) for names in (standard, modules))
    lines = str(LINES.get(use.task, MANY_LINES))
    start = _START.replace("{longest}", str(use.longest))
    return f"{head}\n\n{start}{_SPLIT[use.pieces]}\n\n{body}{_MAIN.replace('LINES', lines)}"


def _encoder(use: Use) -> str:
    """Return the functions of a BERT's script."""
    head = "classes" if use.classes else "number"
    kind = {MASKED_LM: "symbols", CLASSIFICATION: head}[use.task]
    start = "" if use.start is None else f"{use.start}, "
    return (_CLASSES if use.classes else "") + _ENCODE.replace("START", start) + _RESULT[kind]
