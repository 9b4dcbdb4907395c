"""The use.py of an exported folder, which runs the model without fairseq."""

from dataclasses import dataclass

from .loaded_model import CLASSIFICATION, EMBEDDING, LANGUAGE_MODELING, MASKED_LM, TRANSLATION
from .text_codec import PACKAGES, SENTENCEPIECE, WORDS, TextCodec
from .use_answers import (
    CLASSES,
    CONTINUE,
    CTRANSLATE2_FLAGS,
    ENCODE,
    ENCODE_ONE,
    ENCODE_PAIR,
    ONNX_FLAGS,
    RESULT,
    TRANSLATE,
)
from .use_main import (
    JOIN,
    LEAVE_OUT,
    LEAVE_OUT_PAIRS,
    MAIN,
    PARTS,
    SPLIT,
    SPLIT_PAIR,
    START,
    STARTS_WORD,
)

CHUNK = 1024  # lines that are sorted into batches together
LINES = {MASKED_LM: 4}  # per batch: outputs of masked_lm are (lines, length, vocabulary)
MANY_LINES = 32
TOKENS = 2048  # per batch of CTranslate2
DEFAULT_BEAM = 5


@dataclass(frozen=True)
class Use:
    """The variables of a script.

    Attributes:
        task: fairseq's task, one of those in `FORMATS`.
        codec: the tokenizer in the folder.
        start: the id (sentence_prediction, masked_lm) or token (language_modeling) before every
            sentence, or None.
        classes: true if the folder has classes.json.
        longest: maximum tokens of a text, without what the task adds.
        longest_output: maximum tokens of a translation.
        beam: default beam size of a translation.
        between: ids between the two sentences of a pair; empty: texts are single sentences.
    """

    task: str
    codec: TextCodec
    start: int | str | None
    classes: bool
    longest: int
    longest_output: int = 0
    beam: int = DEFAULT_BEAM
    between: tuple[int, ...] = ()


def script(use: Use) -> str:
    """Return Python that reads sentences, or pairs of them, from standard input, one per line.

    It prints one line per line, in chunks. Notices go to standard error, with the number of their
    line: invalid UTF-8, a line of more tokens than the model supports, a translation that is cut.
    """
    if use.task == TRANSLATION:
        modules, body = ["ctranslate2"], CTRANSLATE2_FLAGS + TRANSLATE + PARTS
    elif use.task == LANGUAGE_MODELING:
        modules, body = ["ctranslate2"], CTRANSLATE2_FLAGS + CONTINUE + LEAVE_OUT
        body = body.replace("START", str(use.start))
    else:
        modules, body = ["numpy as np", "onnxruntime"], ONNX_FLAGS + _encoder(use)
    kind = SENTENCEPIECE if use.codec.kind == SENTENCEPIECE else WORDS
    body = body.replace("JOIN", JOIN[kind]).replace("STARTS_WORD", STARTS_WORD[kind])
    standard = ["argparse", "itertools", "json", "os", "sys"]
    if "json." not in body:
        standard.remove("json")
    modules += PACKAGES[use.codec.kind]
    head = "\n\n".join("\n".join(f"import {x}" for x in names) for names in (standard, modules))
    start = START.replace("IMPORTS", head) + _constants(use)
    split = SPLIT[use.codec.kind].replace("FILES", ", ".join(_paths(use.codec)))
    if use.between:
        split = split.replace("def split(", "def tokens(") + SPLIT_PAIR
    return f"{start}{split.replace('LOWER', str(not use.codec.cased))}{body}{MAIN}"


def _paths(codec: TextCodec) -> list[str]:
    """Return the expressions of the tokenizer's files in the script."""
    return [f'f"{{folder}}/{name}"' for name in codec.files]


def _constants(use: Use) -> str:
    values = [("LONGEST", use.longest, "tokens of a line: the model has no more positions")]
    if use.task == TRANSLATION:
        values.append(("LONGEST_OUTPUT", use.longest_output, "tokens of a translation"))
        values.append(("BEAM", use.beam, "without --beam"))
    if use.task in (TRANSLATION, LANGUAGE_MODELING):
        values.append(("BATCH", TOKENS, "tokens that are computed together"))
    else:
        lines = LINES.get(use.task, MANY_LINES)
        values.append(("BATCH", lines, "lines that are computed together"))
    values.append(("CHUNK", CHUNK, "lines that are read before they are answered, without --chunk"))
    return "".join(f"{name} = {value}  # {text}\n" for name, value, text in values)


def _encoder(use: Use) -> str:
    """Return the functions of a BERT's script."""
    head = "classes" if use.classes else "number"
    kind = {MASKED_LM: "symbols", CLASSIFICATION: head, EMBEDDING: "embedding"}[use.task]
    start = "" if use.start is None else f"{use.start}, "
    encode = ENCODE_PAIR if use.between else ENCODE_ONE
    encode = encode.replace("START", start).replace("BETWEEN", ", ".join(map(str, use.between)))
    body = ENCODE.replace("ENCODE_TEXT\n", encode).replace("RESULT", RESULT[kind])
    parts = LEAVE_OUT_PAIRS if use.between else LEAVE_OUT
    return (CLASSES if use.classes else "") + body + parts
