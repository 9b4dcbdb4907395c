"""Columns of a table line up."""

from lightpaff_fairseq.evaluation.markdown_table import SIZE, format_table


def test_table_columns_line_up():
    rows = [
        {"name": "t", "params": 6_110_000, "size_mb": 24.53},
        {"name": "student", "params": 700_000, "size_mb": 2.8},
    ]
    lines = format_table(rows, SIZE).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert len({tuple(i for i, c in enumerate(line) if c == "|") for line in lines}) == 1
    assert "6.11 M" in lines[2] and "0.70 M" in lines[3] and lines[1].endswith(":|") is False
