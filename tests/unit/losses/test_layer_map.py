"""Layer maps: a table of what each selects, their properties, and what is refused."""

import pytest

from lightpaff_fairseq.losses.layer_map import layer_pairs

# (map, student layers, teacher layers, pairs counted from 0)
TABLE = [
    ("first", 2, 6, [(0, 0), (1, 1)]),
    ("first", 3, 3, [(0, 0), (1, 1), (2, 2)]),
    ("last", 2, 6, [(0, 4), (1, 5)]),
    ("last", 1, 1, [(0, 0)]),
    ("uniform", 2, 6, [(0, 2), (1, 5)]),
    ("uniform", 3, 6, [(0, 1), (1, 3), (2, 5)]),
    ("uniform", 4, 6, [(0, 0), (1, 1), (2, 2), (3, 3)]),  # the distance is rounded down
    ("uniform", 4, 12, [(0, 2), (1, 5), (2, 8), (3, 11)]),
    ("first2", 3, 6, [(0, 0), (1, 1)]),
    ("last2", 3, 6, [(1, 4), (2, 5)]),
    ("last1", 4, 2, [(3, 1)]),
    ("first2", 4, 2, [(0, 0), (1, 1)]),
    ("last3", 3, 3, [(0, 0), (1, 1), (2, 2)]),
    ("1:3,2:6", 2, 6, [(0, 2), (1, 5)]),
    ("2:2", 3, 2, [(1, 1)]),
    ("1:1,3:10,4:12", 4, 12, [(0, 0), (2, 9), (3, 11)]),
]


@pytest.mark.parametrize(("spec", "n_student", "n_teacher", "pairs"), TABLE)
def test_table(spec, n_student, n_teacher, pairs):
    assert layer_pairs(spec, n_student, n_teacher) == tuple(pairs)


SIZES = [(s, t) for t in range(1, 9) for s in range(1, 9)]


@pytest.mark.parametrize("spec", ["first", "last", "uniform", "first1", "last1", "first3", "last3"])
def test_pairs_exist_and_ascend_on_both_sides(spec):
    tried = 0
    for n_student, n_teacher in SIZES:
        try:
            pairs = layer_pairs(spec, n_student, n_teacher)
        except ValueError:
            continue
        tried += 1
        for side, count in ((0, n_student), (1, n_teacher)):
            layers = [pair[side] for pair in pairs]
            assert layers == sorted(set(layers)) and layers[0] >= 0 and layers[-1] < count
        assert len(pairs) == (int(spec[-1]) if spec[-1].isdigit() else n_student)
    assert tried >= 36


@pytest.mark.parametrize("spec", ["first", "last", "uniform"])
def test_equal_depth_is_the_identity(spec):
    assert layer_pairs(spec, 5, 5) == tuple((i, i) for i in range(5))


REFUSED = [
    ("gap", 2, 6, "expected first, last, uniform, firstK, lastK or pairs"),
    ("", 2, 6, "expected first, last, uniform"),
    ("1:3;2:6", 2, 6, "expected first"),
    ("1:3,2:6,", 2, 6, "expected first"),
    ("1,3,5", 3, 6, "expected first"),
    ("-1:2", 3, 6, "expected first"),
    ("uniform2", 2, 6, "expected first"),
    ("first", 7, 6, "7 student layers and 6 teacher layers"),
    ("last", 7, 6, "7 student layers and 6 teacher layers"),
    ("uniform", 7, 6, "7 student layers and 6 teacher layers"),
    ("last3", 2, 6, r"from 1 to 2, got 3 \(the student has 2 layers, the teacher 6\)"),
    ("first7", 8, 6, "from 1 to 6, got 7"),
    ("first0", 2, 6, "from 1 to 2, got 0"),
    ("1:7", 2, 6, r"counted from 1: teacher layer 7 does not exist \(the teacher has 6 layers\)"),
    ("3:6", 2, 6, r"counted from 1: student layer 3 does not exist \(the student has 2 layers\)"),
    ("0:1", 2, 6, "counted from 1: student layer 0 does not exist"),
    ("1:0", 2, 6, "counted from 1: teacher layer 0 does not exist"),
    ("1:3,1:6", 2, 6, "ascend in both models, got 1:3 before 1:6"),
    ("1:3,2:3", 2, 6, "ascend in both models, got 1:3 before 2:3"),
    ("2:3,1:6", 2, 6, "ascend in both models, got 2:3 before 1:6"),
]


@pytest.mark.parametrize(("spec", "n_student", "n_teacher", "words"), REFUSED)
def test_refused(spec, n_student, n_teacher, words):
    with pytest.raises(ValueError, match=words) as error:
        layer_pairs(spec, n_student, n_teacher, "--kd-decoder-layer-map")
    assert str(error.value).startswith(f"--kd-decoder-layer-map {spec!r}")


def test_all_problems_at_once():
    with pytest.raises(ValueError, match=r"student layer 9 .*teacher layer 8 .*got 9:8 before 1:1"):
        layer_pairs("9:8,1:1", 2, 6)
