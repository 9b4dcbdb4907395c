"""Print what maps to other vocabularies make of the shipped teacher's probabilities.

    python scripts/vocabulary_maps.py            # students of 1,000 and 8,000 tokens
    python scripts/vocabulary_maps.py 2000       # of another size

For 300 sentences that the teacher has not seen, at the positions that both models have: the mass
that is mapped, the probability of the student's next token and its negative log-likelihood (nats;
mixed with 0.1% of a uniform distribution, since a map may exclude it). The maps: tokens of the same
symbol alone; else the nearest token of all (FuseLLM); else the nearest one that begins alike
(`lightpaff vocabulary-map`); and shared by text (`--text`).
"""

import base64
import gzip
import sys
import tempfile
from pathlib import Path

import torch
from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from torch import Tensor

import lightpaff_fairseq  # noqa: F401
from lightpaff_fairseq.losses.mapped import TokenMap
from lightpaff_fairseq.subwords import TrainSubwordsRequest, train_subwords
from lightpaff_fairseq.teachers.counterparts import Entry, find_counterparts
from lightpaff_fairseq.teachers.text_alignment import TextAlignment
from lightpaff_fairseq.teachers.vocabulary_sides import Vocabulary

RECIPE = Path(__file__).resolve().parents[1] / "examples" / "tatoeba_sv_en"
TEACHER, SENTENCES, UNIFORM = RECIPE / "teacher", 300, 0.001


def read(split: str) -> list[list[str]]:
    """Return the sentences in Swedish and in English."""
    with gzip.open(RECIPE / "data" / f"{split}.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t")[:2] for line in file]
    english, swedish = (list(side) for side in zip(*rows, strict=True))
    return [swedish, english]


def vocabulary(model: Path, dictionary: Path) -> Vocabulary:
    """Return a vocabulary of both languages."""
    symbols = tuple(Dictionary.load(str(dictionary)).symbols)
    return Vocabulary(symbols, symbols, base64.b64encode(model.read_bytes()).decode())


def distance(one: str, other: str, limit: int) -> int:
    """Return Levenshtein's distance, or the limit if it is not below it."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
        if min(row) >= limit:
            return limit
    return row[-1]


def nearest_of_all(teacher: Vocabulary, student: Vocabulary) -> list[Entry]:
    """Map each token to the one with the smallest edit distance, wherever it begins."""
    own, entries = {symbol: token for token, symbol in enumerate(student.target)}, []
    for x, symbol in enumerate(teacher.target):
        best, nearest = 99, own.get(symbol)
        if nearest is None:
            for y, other in enumerate(student.target):
                if (near := distance(symbol, other, best)) < best:
                    best, nearest = near, y
        entries.append((x, nearest, 1))
    return entries


def measure(alignment: TextAlignment, model, maps: dict[str, TokenMap]) -> str:
    """Return the rows of the table."""
    own, texts = alignment.student["target"], read("valid")
    sums, aligned, positions = {name: torch.zeros(3) for name in maps}, 0, 0
    for source, target in zip(*(side[:SENTENCES] for side in texts), strict=True):
        tokens = [own.eos(), *encoded(own, alignment._student, target), own.eos()]
        row = alignment.target(tokens)
        read_s = [*encoded(alignment.teacher["source"], alignment._teacher, source), own.eos()]
        inputs = torch.tensor([read_s]), torch.tensor([len(read_s)]), torch.tensor([row.tokens])
        lprobs = model(*inputs)[0][0].log_softmax(-1)[[j for _, j in row.pairs]]
        labels = torch.tensor([tokens[i + 1] for i, _ in row.pairs])
        positions, aligned = positions + len(tokens) - 1, aligned + len(labels)
        for name, tokens_map in maps.items():
            sums[name] += scores(lprobs, tokens_map, labels, len(own))
    lines = [f"{len(own):,} tokens: {aligned / positions:.1%} of {positions:,} positions aligned"]
    for name, total in sums.items():
        mass, label, nll = (total / aligned).tolist()
        lines.append(f"| {name} | {mass:.1%} | {label:.3f} | {nll:.2f} |")
    return "\n".join(lines)


def scores(lprobs: Tensor, tokens: TokenMap, labels: Tensor, size: int) -> Tensor:
    """Return mass, probability of labels and negative log-likelihood, summed over positions."""
    probs = torch.zeros(len(lprobs), size)
    probs[:, tokens.student] = tokens.lprobs(lprobs).exp()
    label = probs.gather(1, labels[:, None])
    nll = -((1 - UNIFORM) * label + UNIFORM / size).log()
    return torch.stack([probs.sum(), label.sum(), nll.sum()])


def encoded(dictionary: Dictionary, processor, line: str) -> list[int]:
    """Return the tokens of a line."""
    return [dictionary.index(piece) for piece in processor.encode(line, out_type=str)]


@torch.no_grad()
def main(sizes: list[int]) -> None:
    """Print a table per size of the student's vocabulary."""
    torch.set_num_threads(1)
    teacher, text = vocabulary(TEACHER / "spm.model", TEACHER / "dict.en.txt"), read("train")
    paths = {"arg_overrides": {"data": str(TEACHER)}}
    load = checkpoint_utils.load_model_ensemble_and_task
    model = load([str(TEACHER / "teacher.pt")], **paths)[0][0].eval()
    print("| map | mass mapped | probability of the next token | negative log-likelihood |")
    print("|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            out, lines = Path(folder) / "own", Path(folder) / "text"
            lines.write_text("\n".join([*text[0], *text[1]]), encoding="utf-8")
            train_subwords(TrainSubwordsRequest(vocab=size, out=out, text=(lines,)))
            student = vocabulary(Path(f"{out}.model"), Path(f"{out}.dict.txt"))
        alignment = TextAlignment(teacher, student)
        near, known = find_counterparts(alignment, [])[0], set(student.target)
        entries = {
            "the same symbol alone": [x for x in near if teacher.target[x[0]] in known],
            "else the nearest of all": nearest_of_all(teacher, student),
            "else the nearest that begins alike": near,
            "shared by text": find_counterparts(alignment, text[1])[0],
        }
        sizes_of = len(teacher.target), len(student.target)
        maps = {name: TokenMap.of(list(x), sizes_of) for name, x in entries.items()}
        print(measure(alignment, model, maps))


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1000, 8000])
