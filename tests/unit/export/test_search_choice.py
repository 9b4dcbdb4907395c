"""The beam that an exported model is served with."""

from lightpaff_fairseq.export.export_quality import Quality
from lightpaff_fairseq.export.search_choice import SearchRow, beams_to_measure, choose

ROWS = [SearchRow("int8", beam, *pair) for beam, *pair in
        ((1, 39.4, 900.0), (2, 39.7, 600.0), (5, 40.0, 200.0))]  # fmt: skip


def test_the_fastest_within_the_drop_is_chosen_or_the_best():
    chosen = [choose(ROWS, Quality("BLEU", 40.1), drop).beam for drop in (0.05, 0.2, 0.5, 0.8)]
    assert chosen == [5, 5, 2, 1]  # the first loses too much, and is refused for its drop


def test_beams_to_measure():
    assert beams_to_measure("auto") == (1, 2, 5) and beams_to_measure("4") == (4,)
