"""The student's tokens that stand for a teacher's, against all pairs, and in text."""

from lightpaff_fairseq.teachers.counterparts import surface_counterparts


def distance(one, other):
    """Levenshtein's, by its definition."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before = row
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def texts(symbols):
    return [x.replace("▁", " ").encode() if not x.startswith("<") else b"" for x in symbols]


def nearest(symbol, text, student):
    """Of all tokens that begin like it: the nearest, the shortest of these, the first."""
    if symbol in student:
        return student.index(symbol)
    candidates = [
        (distance(text, other), len(other), token)
        for token, other in enumerate(texts(student))
        if text and other and (text.startswith(other) or other.startswith(text))
    ]
    return min(candidates)[-1] if candidates else None


TEACHER = "<s> <unk> <mask> ▁weather ▁we ▁ é éa a ather b ab abc zz ▁z q".split()
STUDENT = "<s> <unk> ▁we ather ▁ a abcd é ▁weathers ab ▁zoo bb bc éab éac".split()


def test_each_token_has_the_nearest_that_begins_like_it():
    got = surface_counterparts(TEACHER, STUDENT, (texts(TEACHER), texts(STUDENT)))
    expected = [
        nearest(symbol, text, STUDENT) for symbol, text in zip(TEACHER, texts(TEACHER), strict=True)
    ]
    assert got == expected
    named = {x: None if y is None else STUDENT[y] for x, y in zip(TEACHER, got, strict=True)}
    assert named["▁weather"] == "▁weathers" and named["▁we"] == "▁we" and named["b"] == "bb"
    assert named["<mask>"] is named["zz"] is named["q"] is None
    assert named["abc"] == "ab" and named["éa"] == "é"  # two ties


def test_equal_vocabularies_are_the_identity():
    got = surface_counterparts(STUDENT, STUDENT, (texts(STUDENT), texts(STUDENT)))
    assert got == list(range(len(STUDENT)))
