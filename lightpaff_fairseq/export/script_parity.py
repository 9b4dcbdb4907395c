"""Compare what an exported folder's use.py prints for text with its model on fairseq's own ids.

The comparison of models starts from ids; this one starts from text. It shows that the script, its
tokenizer and its files make the ids of a text that fairseq makes.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from fairseq.data.data_utils import collate_tokens
from torch import Tensor

from .engines import Engine
from .export_parity import TOLERANCE
from .loaded_model import (
    CLASSIFICATION,
    EMBEDDING,
    LANGUAGE_MODELING,
    MASKED_LM,
    TRANSLATION,
    LoadedModel,
)
from .sample_batches import Sample
from .text_codec import TextCodec

ANSWERS = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
INPUTS = """import json, runpy, sys
use = runpy.run_path(sys.argv[1])
for line in sys.stdin:
    print(json.dumps(use["encode"](use["split"](line))))
"""
LONGEST = 20  # tokens of a compared text: a block of a language model may fill all positions
ROUNDING = 0.01  # of printed numbers
SCRIPT = "use.py"
Answer = str | float | list[float]


def check_script(
    student: LoadedModel, folder: Path, codec: TextCodec, engine: Engine, samples: list[Sample]
) -> None:
    """Compare the script's answers with those of the engine for fairseq's ids.

    Args:
        codec: makes the text of tokens, and the tokens of text.
        engine: runs the exported model, with the script's search.
        samples: batches of fairseq's data set: the text, and what the task puts around it.
    Raises:
        ValueError: the script fails, or gives another answer.
    """
    rows = [row for sample in samples for row in sample["net_input"]["src_tokens"]]
    if student.info.task == MASKED_LM:  # fairseq may mask the first token, which is no word
        first = torch.tensor([student.task.source_dictionary.bos()])
        rows = [torch.cat([first, row[1:]]) for row in rows]
    texts = [_text(row, student, codec) for row in rows]
    sample = _sample(student, rows, [_encoded(text, student, codec) for text in texts])
    lengths = sample["net_input"]["src_tokens"].ne(student.task.source_dictionary.pad()).sum(-1)
    outputs = zip(engine.run(sample), lengths.tolist(), strict=True)
    answers = [_answer(student, output, length, codec) for output, length in outputs]
    expected = dict(zip(sample["id"].tolist(), answers, strict=True))  # translation sorts them
    path = folder / SCRIPT
    for i, (text, line) in enumerate(zip(texts, _run(ANSWERS, path, texts), strict=True)):
        if not _is_same(line, expected[i]):
            _refuse(student, text, f"it prints {line!r}, expected {expected[i]!r}")
    rows = sample["net_input"]["src_tokens"].tolist()
    ids = dict(zip(sample["id"].tolist(), rows, strict=True))
    for i, (text, line) in enumerate(zip(texts, _run(INPUTS, path, texts), strict=True)):
        given, needed = _ids(student, json.loads(line)), _ids(student, ids[i])
        if given != needed:
            _refuse(student, text, f"its ids are {given}, expected {needed}")


def _refuse(student: LoadedModel, text: str, difference: str) -> NoReturn:
    raise ValueError(
        f"{student.info.named}: {SCRIPT} does not compute what fairseq does: for {text!r} "
        f"{difference}"
    )


def _ids(student: LoadedModel, row: Sequence[int | str]) -> list[int]:
    """Return ids, without padding; of a translation, without the end that CTranslate2 adds."""
    dictionary = student.task.source_dictionary
    ids = [dictionary.index(x) if isinstance(x, str) else x for x in row]
    ids = [i for i in ids if i != dictionary.pad()]
    is_translation = student.info.task == TRANSLATION and ids[-1:] == [dictionary.eos()]
    return ids[:-1] if is_translation else ids


def _text(row: Tensor, student: LoadedModel, codec: TextCodec) -> str:
    """Return the text of a row of fairseq's ids; of a pair, both with a tab between them."""
    dictionary, ids = student.task.source_dictionary, row.tolist()
    end = ids.index(dictionary.eos()) if student.between else len(ids)
    special = (dictionary.bos(), dictionary.pad(), dictionary.eos(), *student.between)
    sentences = [ids[:end], ids[end:]] if student.between else [ids]
    kept = ([dictionary[i] for i in part if i not in special][:LONGEST] for part in sentences)
    texts = [" ".join(codec.decode(tokens).split("\n")) for tokens in kept]
    return "\t".join(text.replace("\t", " ") for text in texts) if student.between else texts[0]


def _encoded(text: str, student: LoadedModel, codec: TextCodec) -> Tensor:
    """Return the ids of a text in fairseq, `(T,)`, without what begins it."""
    dictionary = student.task.source_dictionary
    first, *second = text.split("\t") if student.between else [text]
    lines = [
        dictionary.encode_line(codec.encode(x), add_if_not_exist=False) for x in (first, *second)
    ]
    separator = torch.tensor(student.between[1:])  # the end of the first is in its line
    return torch.cat([lines[0], *(x for line in lines[1:] for x in (separator, line))]).long()


def _sample(student: LoadedModel, rows: Sequence[Tensor], lines: Sequence[Tensor]) -> Sample:
    """Return encoded texts as fairseq's task gives them to a model."""
    dictionary = student.task.source_dictionary
    if student.info.task in (TRANSLATION, LANGUAGE_MODELING):
        dataset = student.task.build_dataset_for_inference(lines, [len(line) for line in lines])
        sample: Sample = dataset.collater([dataset[i] for i in range(len(dataset))])
        return sample
    special = (dictionary.bos(), dictionary.eos())
    starts = [row[:1] if row[0].item() in special else row[:0] for row in rows]
    tokens = [torch.cat(pair) for pair in zip(starts, lines, strict=True)]
    net_input = {"src_tokens": collate_tokens(tokens, dictionary.pad())}
    return {"id": torch.arange(len(tokens)), "net_input": net_input}


def _answer(student: LoadedModel, output: Any, length: int, codec: TextCodec) -> Answer:
    """Return what the script should print for an output of the engine, of an input's length."""
    if student.info.task == TRANSLATION:
        tokens = list(output.tokens)
        return codec.decode(tokens)
    if student.info.task == LANGUAGE_MODELING:
        return float(output.sum())
    if student.has_classes:
        labels = student.task.label_dictionary
        return str(labels[labels.nspecial + int(output.argmax())])
    if student.info.task == CLASSIFICATION:
        return float(output[0])
    if student.info.task == EMBEDDING:
        return [float(x) for x in output]
    return " ".join(student.task.source_dictionary[i] for i in output.argmax(-1)[:length])


def _run(program: str, path: Path, texts: Sequence[str]) -> list[str]:
    """Return the lines that a program around the script prints for lines of text."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        input="".join(f"{text}\n" for text in texts),
        capture_output=True,
        encoding="utf-8",
    )
    lines = done.stdout.split("\n")[:-1]
    if done.returncode or len(lines) != len(texts):
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"{SCRIPT}: expected {len(texts)} answers, got {len(lines)}: {reason}")
    return lines


def _is_same(line: str, answer: Answer) -> bool:
    """Compare a printed line with an answer."""
    if isinstance(answer, str):
        return line == answer
    if isinstance(answer, list):
        values = [float(x) for x in line.split(" ")]
        return len(values) == len(answer) and bool(np.allclose(values, answer, 0, TOLERANCE))
    return abs(float(line.split("\t")[0]) - answer) <= ROUNDING * max(1, abs(answer))
