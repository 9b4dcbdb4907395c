"""One sentence about two models: gain, gap, and chance."""

import pytest

from lightpaff_fairseq.evaluation.model_comparison import Scored, compare, p_value

SENTENCES = [f"sentence number {i} is here to be compared" for i in range(50)]
BROKEN = [s.replace("here to be", "to be there") for s in SENTENCES]


@pytest.mark.parametrize(
    ("bleu", "teacher", "word", "rest"),
    [(22.0, 30.0, "gained 2.0", "20 % of the gap"), (19.0, 30.0, "lost 1.0", ""),
     (22.0, 18.0, "gained 2.0", "itself is not better"), (20.0, 30.0, "changed nothing", "")],
)  # fmt: skip
def test_the_sentence_says_gain_and_loss_alike(bleu, teacher, word, rest):
    def scored(name, value):
        return Scored(name, value, 50.0, SENTENCES)

    text = compare(scored("plain", 20.0), scored("kd", bleu), scored("teacher", teacher), 0.2)
    assert word in text and rest in text and "may well be chance" in text
    assert ("of the gap" in text) == (rest == "20 % of the gap")


def test_relative_to_the_teacher_it_is_the_share_that_is_kept():
    teacher = Scored("teacher", 25.0, 50.0, SENTENCES)
    student = Scored("student", 23.0, 49.0, SENTENCES)
    text = compare(teacher, student, teacher, 0.001)
    assert text.startswith(
        "student keeps 92.0 % of the BLEU (23.0 of 25.0) and 98.0 % of the chrF (49.0 of 50.0) of "
        "teacher (one training run each, 50 sentences; the difference is unlikely to be chance"
    )
    assert "lost" not in text and "gap" not in text and "p = 0.001" in text


def test_p_value_tells_chance_from_difference():
    plain, better = Scored("p", 0, 0, BROKEN), Scored("k", 0, 0, SENTENCES)
    assert p_value(plain, better, SENTENCES) < 0.01
    mixed = [b if i % 2 else s for i, (s, b) in enumerate(zip(SENTENCES, BROKEN, strict=True))]
    other = [s if i % 2 else b for i, (s, b) in enumerate(zip(SENTENCES, BROKEN, strict=True))]
    assert p_value(Scored("m", 0, 0, mixed), Scored("o", 0, 0, other), SENTENCES) > 0.2
