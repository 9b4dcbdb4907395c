"""Write a sweep's results: one table per product of axes (SWEEP/table.md) and SWEEP/plot.svg.

python report.py --sweep SWEEP --metric accuracy --vary knowledge "layer_map*knowledge=hidden"
"""

import argparse
import json
import logging
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

from lightpaff_fairseq.report.figures import draw_students
from lightpaff_fairseq.report.sweep import Students, over_splits, read_rows, students


def title(product: str) -> str:
    """Format a product of axes as a heading."""
    return product if "*" in product else product.split("=")[0]


def table(product: str, results: Sequence[Students], base: Students, metric: str) -> str:
    """Format a Markdown table, best point first; differences to the base point are per seed."""
    lines = [
        f"| {title(product)} | params | {metric} | seeds | "
        "difference to the base (each seed) | nll (bits) |",
        "|---|---:|---:|---|---|---:|",
    ]
    for point in sorted(results, key=lambda s: -s.mean):
        seeds = sorted(point.quality)
        values = " ".join(f"{point.quality[s]:.1f}" for s in seeds)
        common = [s for s in seeds if s in base.quality]
        each = [point.quality[s] - base.quality[s] for s in common]
        shown = "" if point.quality == base.quality else f"{statistics.mean(each):+.1f} "
        shown += "base" if not shown else "(" + " ".join(f"{d:+.1f}" for d in each) + ")"
        nll = statistics.mean(point.nll.values())
        lines.append(
            f"| {point.label} | {point.parameters / 1e6:.2f} M | {point.mean:.1f} | {values} | "
            f"{shown} | {nll:.3f} |"
        )
    return "\n".join(lines)


def plot(panels: Mapping[str, Sequence[Students]], base: Students, teacher: float) -> Any:
    """Draw one panel per product: dots are seeds, bars means, lines the base point and teacher."""
    heights = [len(results) + 0.8 for results in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        figsize=(7, 0.32 * sum(heights) + 0.9 * len(panels)),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        sharex=True,
    )
    for axis, (product, results) in zip(axes[:, 0], panels.items(), strict=True):
        draw_students(axis, sorted(results, key=lambda s: s.mean))
        axis.axvline(base.mean, color="C1", linestyle="--", label="base point, mean")
        axis.axvline(teacher, color="C2", linestyle=":", label="teacher")
        axis.set_title(title(product), loc="left", fontsize=9)
        axis.grid(axis="x", alpha=0.3)
    axes[0, 0].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Write both files and print the table; return 2 after bad input."""
    logging.getLogger().setLevel(logging.WARNING)  # fairseq sets the root logger to DEBUG
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sweep", type=Path, required=True)
    parser.add_argument("--metric", required=True, help="accuracy or bleu")
    parser.add_argument("--vary", nargs="+", required=True, help="as for sweep.py")
    args = parser.parse_args(argv)
    try:
        rows = read_rows(args.sweep / "results.jsonl", "--sweep")
        first = json.loads((args.sweep / "base.json").read_text())
        teacher_row = json.loads((args.sweep / "teacher.json").read_text())
        teacher = over_splits(teacher_row, [args.metric])
        base = students(rows, "knowledge=logits", first, args.metric)[0]
        panels = {p: students(rows, p, first, args.metric) for p in args.vary}
    except ValueError as error:
        print(f"report.py: error: {error}", file=sys.stderr)
        return 2
    size = f"{teacher_row['parameters'] / 1e6:.2f} M parameters"
    texts = [f"teacher: {args.metric} {teacher:.1f}, {size}"]
    texts += [table(product, results, base, args.metric) for product, results in panels.items()]
    (args.sweep / "table.md").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    figure = plot(panels, base, teacher)
    figure.supxlabel(f"{args.metric}: dots are seeds, bars means", fontsize=10)
    figure.savefig(args.sweep / "plot.svg", metadata={"Date": None})
    print("\n\n".join(texts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
