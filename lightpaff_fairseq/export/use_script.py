"""The use.py of an exported folder, which runs the model without fairseq."""

from dataclasses import dataclass

from .loaded_model import CLASSIFICATION, LANGUAGE_MODELING, MASKED_LM, TRANSLATION

_START = """folder = os.path.dirname(os.path.abspath(__file__))
lines = [line.strip() for line in sys.stdin] or sys.exit()
"""
_CUT = {
    True: """pieces = sentencepiece.SentencePieceProcessor(f"{folder}/sentencepiece.model")
texts = [pieces.encode(line, out_type=str) for line in lines]
""",
    False: """texts = [line.split() for line in lines]  # tokenized like the training data
""",
}
_JOIN = {True: "pieces.decode", False: '" ".join'}

_TRANSLATE = """translator = ctranslate2.Translator(folder)
for result in translator.translate_batch(texts, beam_size=5, max_decoding_length=LONGEST):
    print(JOIN(result.hypotheses[0]))
"""

_CONTINUE = """generator = ctranslate2.Generator(folder)
starts = [["</s>", *text] for text in texts]
scores = generator.score_batch(starts)
for score, result in zip(scores, generator.generate_batch(starts, max_length=30)):
    print(round(sum(score.log_probs), 2), JOIN(result.sequences[0][1:]), sep="\\t")
"""

_ENCODE = """symbols = json.load(open(f"{folder}/symbols.json", encoding="utf-8"))
number = {symbol: i for i, symbol in enumerate(symbols)}
rows = [[START*(number.get(x, 3) for x in text), 2] for text in texts]  # 3: <unk>, 2: </s>
tokens = np.ones((len(rows), max(map(len, rows))), dtype=np.int64)  # 1: <pad>
for i, row in enumerate(rows):
    tokens[i, : len(row)] = row
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
(output,) = session.run(None, {"tokens": tokens})
"""

_RESULT = {
    "classes": """classes = json.load(open(f"{folder}/classes.json", encoding="utf-8"))
print(*(classes[i] for i in output.argmax(-1)), sep="\\n")
""",
    "number": """print(*output[:, 0], sep="\\n")
""",
    "symbols": """for row, best in zip(rows, output.argmax(-1)):
    print(*(symbols[i] for i in best[: len(row)]))
""",
}


@dataclass(frozen=True)
class Use:
    """The variables of a script.

    Attributes:
        task: fairseq's task, one of those in `FORMATS`.
        pieces: true if the folder has sentencepiece.model.
        start: the id before every sentence (sentence_prediction, masked_lm), or None.
        classes: true if the folder has classes.json.
        longest: maximum tokens of a translation.
    """

    task: str
    pieces: bool
    start: int | None
    classes: bool
    longest: int


def script(use: Use) -> str:
    """Return Python that reads sentences from standard input, one per line."""
    if use.task == TRANSLATION:
        modules, body = ["ctranslate2"], _TRANSLATE
    elif use.task == LANGUAGE_MODELING:
        modules, body = ["ctranslate2"], _CONTINUE
    else:
        head = "classes" if use.classes else "number"
        kind = {MASKED_LM: "symbols", CLASSIFICATION: head}[use.task]
        modules = ["numpy as np", "onnxruntime"]
        body = (
            _ENCODE.replace("START", "" if use.start is None else f"{use.start}, ") + _RESULT[kind]
        )
    body = body.replace("JOIN", _JOIN[use.pieces]).replace("LONGEST", str(use.longest))
    standard = ["os", "sys"] if modules == ["ctranslate2"] else ["json", "os", "sys"]
    modules += ["sentencepiece"] if use.pieces else []
    imports = [f"import {name}" for name in (*standard, "", *modules)]
    head = "\n".join(line.removesuffix("import ") for line in imports)
    return f"{head}\n\n{_START}{_CUT[use.pieces]}{body}"
