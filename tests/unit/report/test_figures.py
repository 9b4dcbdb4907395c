"""Plots show what they should, and stay small."""

import math
import re

from lightpaff_fairseq.report.curves import Panel
from lightpaff_fairseq.report.drawing import styles
from lightpaff_fairseq.report.figures import learning


def line_of(curve):
    """The coordinates of the curve in the plot, and the plot."""
    svg = learning(Panel("valid", "loss", {"a": curve}), styles("a"), {"a": "a"})
    paths = re.findall(
        r'<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: var\(--s', svg
    )
    assert len(paths) == 1
    return paths[0], svg


def test_long_curves_are_drawn_with_few_points_that_keep_extremes_and_gaps():
    curve = {update: 1 + math.sin(update * 7) for update in range(20_000)}
    curve |= {5_000: 9.0, 12_000: math.nan}
    path, svg = line_of(curve)
    heights = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", path)]
    assert len(heights) < 10_000 and len(svg) < 400_000
    above = sorted(heights)[:2]  # y grows downwards
    assert above[0] < above[1] - 50, "the one extreme is there"
    assert path.count("M") == 2, "and the gap"


def test_the_first_updates_of_a_perplexity_do_not_flatten_the_rest():
    falling = {10: 9000.0, 20: 900.0} | {u: 60 - u / 50 for u in range(250, 2001, 250)}
    path, svg = line_of(falling)
    heights = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", path)]
    later = heights[-7:]
    assert max(later) - min(later) > 60, "of a plot 216 points high"
    assert "first updates: up to 9000" in svg


def test_a_steady_curve_is_shown_whole():
    steady = {u: 60 - u / 50 for u in range(50, 2001, 50)}
    assert "first updates" not in line_of(steady)[1]
