"""Format benchmark results as text."""

from typing import Any

from .cache_benchmark import CacheReport
from .loss_benchmark import Row
from .step_benchmark import StepReport


def problem_line(report: dict[str, Any]) -> str:
    """Return the sizes of a loss and the device, in one line."""
    return (
        "{tokens} positions, vocabulary {vocab}, student {student_dim}, teacher {teacher_dim}, "
        "{divergence}, k {topk}, {dtype}, chunks of {chunk_tokens}, {device}, {threads} threads, "
        "{clock} time"
    ).format(**report)


def loss_table(report: dict[str, Any], rows: list[Row]) -> str:
    """Return a line of sizes, one line per variant, and a summary."""
    lines = [
        problem_line(report),
        f"{'':14} {'seconds':>8} {'x floor':>8} {'extra MB':>9}",
    ]
    for row in rows:
        extra = "unknown" if row.extra_mb is None else f"{row.extra_mb:.0f}"
        lines.append(f"{row.name:14} {row.seconds:8.3f} {row.ratio_to_floor:8.2f} {extra:>9}")
    worst = max(report["minus_dense"].values())
    lines += [
        f"seconds, x floor: forward and backward, medians of {len(rows[0].all_seconds)} rounds",
        "extra MB: peak memory above the inputs, gradients included",
        f"all agree with dense to {worst:.1e} (relative difference of gradients), except "
        "selected, cached and sampled, which are other losses",
    ]
    return "\n".join(lines)


def step_table(report: dict[str, Any], result: StepReport) -> str:
    """Return a line of sizes, one line per variant, and the ratios."""
    names = {
        "plain": "student update, stock criterion",
        "teacher": "teacher forward, no gradient",
        "kd": "student update with distillation",
        "cached": f"the same from a cache of {report['topk']} tokens per position",
        "more": f"kd with {report['more']}",
        "masked": f"kd pruned to {report['prune']:g}: an update that only masks",
        "choosing": "the same, an update that also scores and chooses units",
    }
    names = {name: text for name, text in names.items() if name in result.seconds}
    lines = [f"{_update(report)}, {report['dtype']}, {result.positions} predicted positions"]
    lines += [
        f"{role} {report[role]}: {count:,} parameters" for role, count in result.parameters.items()
    ]
    lines += [
        f"{name:8} {result.seconds[name]:8.3f} s {result.tokens_per_second[name]:11,.0f} tokens/s "
        f"{_megabytes(report['extra_mb'].get(name))} {text}"
        for name, text in names.items()
    ]
    lines += [
        f"kd / (plain + teacher)  {result.kd_to_parts:.3f}",
        f"teacher / plain         {result.teacher_to_plain:.3f}",
        f"cached / plain          {result.cached_to_plain:.3f}",
        *([f"more / kd               {result.more_to_kd:.3f}"] if result.more_to_kd else []),
        *([f"pruned / kd             {result.pruned_to_kd:.3f}"] if result.pruned_to_kd else []),
        f"medians of {len(result.all_seconds['kd'])} rounds; ratios are taken within a round",
        *(["MB: peak of a first update above models and batch"] if report["extra_mb"] else []),
    ]
    return "\n".join(lines)


def _update(report: dict[str, Any]) -> str:
    """Return the batch of an update and the device, in one line."""
    return (
        "{family}: {sentences} x {length} tokens, vocabulary {vocab}, {device}, {threads} threads, "
        "{clock} time"
    ).format(**report)


def _megabytes(extra: float | None) -> str:
    return "" if extra is None else f"{extra:6.0f} MB "


def cache_table(report: dict[str, Any], result: CacheReport) -> str:
    """Return a line of sizes, one line per variant, the ratios, and the size of the cache."""
    names = {
        "teacher": "teacher forward, no gradient",
        "build": "the same, top-k, and writing to disk",
        "plain": "student update, stock criterion",
        "read": "reading the batch from the cache",
    }
    lines = [f"{_update(report)}, k {report['topk']}, {result.positions} predicted positions"]
    for name, text in names.items():
        seconds = result.seconds[name]
        speed = result.positions / seconds
        lines.append(f"{name:8} {seconds:9.4f} s {speed:12,.0f} positions/s  {text}")
    lines += [
        f"build / teacher throughput  {result.build_to_teacher:.3f}",
        f"read / plain update         {result.read_to_plain:.4f}",
        f"bytes per position          {result.bytes_a_position:.1f}",
        f"medians of {len(result.all_seconds['read'])} rounds; ratios are taken within a round",
    ]
    return "\n".join(lines)
