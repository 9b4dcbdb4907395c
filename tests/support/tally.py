"""Count what a campaign tries and loses, and print it below all tests."""

from collections import Counter
from typing import Any

PREFIX = "robustness "
Lost = list[str]


class Tally:
    """The tries of one test.

    Attributes:
        kind: of the tries, as "kills"; lost: a message for every try that went wrong.
    """

    def __init__(self, kind: str) -> None:
        self.kind, self.lost, self.outcomes = kind, Lost(), Counter()

    def add(self, outcome: str, problem: str | None = None, count: int = 1) -> None:
        """Count a try, or several; `problem` describes what was lost, None: nothing."""
        self.outcomes[outcome] += count
        if problem:
            self.lost.append(problem.encode("ascii", "backslashreplace").decode())

    def properties(self) -> dict[str, int]:
        """Return the counts by name, for a test report."""
        counts = {"tried": self.outcomes.total(), "lost": len(self.lost), **self.outcomes}
        return {f"{PREFIX}{self.kind}: {name}": count for name, count in counts.items()}


def summary(reports: list[Any]) -> list[str]:
    """Return one line per kind of tries, from the reports of all tests."""
    kinds: dict[str, Counter[str]] = {}
    for report in reports:
        for name, count in getattr(report, "user_properties", ()):
            if name.startswith(PREFIX) and getattr(report, "when", "") == "teardown":
                kind, _, outcome = name.removeprefix(PREFIX).partition(": ")
                kinds.setdefault(kind, Counter())[outcome] += count
    return [
        f"robustness: {kind}: " + ", ".join(f"{n:,} {name}" for name, n in counts.items())
        for kind, counts in sorted(kinds.items())
    ]
