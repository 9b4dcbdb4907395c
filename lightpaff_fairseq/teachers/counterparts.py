"""Which of the student's tokens stand for a teacher's token: by its surface, and by text.

At an aligned position both models have read the same text and predict what comes next, so a
counterpart has to begin like the teacher's token: one of the two is the beginning of the other.
Hence the edit distance of candidates is the difference of their lengths, and of a student whose
tokens are shorter, the nearest is the longest beginning of the teacher's token. (The nearest of all
tokens, as in FuseLLM, arXiv 2401.10491, may be one that comes later: for `▁weather`, read by the
student as `▁we ather`, it is `ather`.)

With text, the teacher's probability is shared among the tokens with which the student continues
where the teacher continues with this one, as often as that happens.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from .text_alignment import TextAlignment

Entry = tuple[int, int, int]  # teacher's token, student's token, weight


def find_counterparts(alignment: TextAlignment, lines: Iterable[str]) -> tuple[list[Entry], int]:
    """Return the entries of a map, ordered, and how many of the teacher's tokens the text has.

    A weight is the number of times that the tokens begin at an aligned position of the text, plus 1
    for the counterpart by surface. `<unk>` is the counterpart of `<unk>` alone.
    """
    teacher, student = alignment.teacher["target"], alignment.student["target"]
    counts = Counter(pair for line in lines for pair in alignment.openings(line))
    for pair in [x for x in counts if x[0] == teacher.unk() or x[1] == student.unk()]:
        del counts[pair]
    seen = len({token for token, _ in counts})
    texts = alignment.texts()
    counterparts = surface_counterparts(teacher.symbols, student.symbols, texts)
    for token, counterpart in enumerate(counterparts):
        if counterpart is not None:
            counts[token, counterpart] += 1
    return sorted((*pair, count) for pair, count in counts.items()), seen


def surface_counterparts(
    teacher: Sequence[str], student: Sequence[str], texts: tuple[list[bytes], list[bytes]]
) -> list[int | None]:
    """Return a student's token, or None, for each of the teacher's.

    It is the one with the same symbol, else the one with the smallest edit distance, in bytes, of
    those that begin like it. Of equally near ones it is the shorter one; of these, the first.

    Args:
        teacher, student: symbols.
        texts: of the teacher's and the student's tokens, empty for those that are no text.
    """
    indices = {symbol: token for token, symbol in enumerate(student)}
    by_text: dict[bytes, int] = {}
    for token, text in enumerate(texts[1]):
        if text:
            by_text.setdefault(text, token)
    extended = _extensions(by_text)
    counterparts: list[int | None] = []
    for symbol, text in zip(teacher, texts[0], strict=True):
        beginnings = (text[:n] for n in range(len(text), 0, -1))
        beginning = next((x for x in beginnings if x in by_text), b"")
        extension = extended.get(text, b"")
        is_nearer = extension and len(extension) - len(text) < len(text) - len(beginning)
        nearest = extension if is_nearer or not beginning else beginning
        counterparts.append(indices.get(symbol, by_text.get(nearest)))
    return counterparts


def _extensions(by_text: dict[bytes, int]) -> dict[bytes, bytes]:
    """Return the shortest text with each beginning, of equally long ones the first token's."""
    extended: dict[bytes, bytes] = {}
    for text in sorted(by_text, key=lambda text: (len(text), by_text[text])):
        for n in range(1, len(text)):
            extended.setdefault(text[:n], text)
    return extended
