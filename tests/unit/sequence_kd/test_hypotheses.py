"""Files of hypotheses, and the blocks of a plan."""

import numpy as np
import pytest

from lightpaff_fairseq.sequence_kd.hypotheses import (
    Hypotheses,
    Hypothesis,
    Plan,
    read_block,
    write_block,
)


def stored(*rows, cut=False):
    return [Hypothesis(np.array(row, dtype=np.int64), -float(i), cut) for i, row in enumerate(rows)]


def test_a_block_comes_back_as_it_was(tmp_path):
    sources = [
        Hypotheses(2**32 - 1, stored((4, 70_000), ())),
        Hypotheses(0, []),
        Hypotheses(5, stored((9,), cut=True)),
    ]
    write_block(tmp_path / "b.npz", sources, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["b.npz"]
    assert plain(read_block(tmp_path / "b.npz", 3, 7)) == plain(sources)
    write_block(tmp_path / "none.npz", [Hypotheses(1, [])], 7)
    assert plain(read_block(tmp_path / "none.npz", 1, 7)) == [(1, [])]


def plain(sources):
    return [
        (x.source, [(h.tokens.tolist(), h.score, h.cut) for h in x.hypotheses]) for x in sources
    ]


def test_every_flipped_byte_of_a_block_is_noticed_or_harmless(tmp_path):
    """The zip container's own fields (dates, versions) are not the hypotheses'."""
    path = tmp_path / "b.npz"
    sources = [Hypotheses(i, stored((4, 5 + i), (6,))) for i in range(5)]
    write_block(path, sources, 7)
    content = path.read_bytes()
    noticed = 0
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            assert plain(read_block(path, 5, 7)) == plain(sources)
        except ValueError:
            noticed += 1
    assert noticed > len(content) / 7 / 3
    with pytest.raises(ValueError, match="expected hypotheses of 4 sources, got 5"):
        path.write_bytes(content)
        read_block(path, 4, 7)
    with pytest.raises(ValueError, match="corrupt"):
        read_block(tmp_path / "missing.npz", 1, 7)


def test_blocks_cover_every_sentence_once():
    for sentences in (1, 8, 9, 30):
        blocks = Plan({}, {}, {}, sentences, 8).blocks
        covered = [i for x in blocks for i in range(x.first, x.first + x.count)]
        assert covered == list(range(sentences)) and max(x.count for x in blocks) <= 8


def test_a_block_of_another_plan_is_refused(tmp_path):
    path, plans = tmp_path / "b.npz", [Plan({}, {"teacher": x}, {}, 1, 8) for x in "ab"]
    write_block(path, [Hypotheses(1, [])], plans[0].checksum)
    assert plain(read_block(path, 1, Plan({}, {"teacher": "a"}, {}, 1, 8).checksum)) == [(1, [])]
    with pytest.raises(ValueError, match=r"b\.npz: is a block of other hypotheses"):
        read_block(path, 1, plans[1].checksum)
