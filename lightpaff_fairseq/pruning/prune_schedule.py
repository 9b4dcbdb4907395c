"""The pruning schedule: the remaining part of the model as a function of the update number."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The cubic schedule.

    Attributes:
        start, end: update numbers between which units are pruned, 0 <= start <= end.
        interval: updates between two evaluations of the units.
    Source: HomoDistil (arXiv 2302.09632), after PLATON.
    """

    start: int
    end: int
    interval: int

    def remaining(self, update: int) -> float:
        """Return the remaining part, 1 to 0, of the units to prune.

        The paper's r(t) is `final + (1 - final) * remaining(t)` for a group's final ratio.
        """
        if update >= self.end:
            return 0.0
        if update < self.start:
            return 1.0
        return (1 - (update - self.start) / (self.end - self.start)) ** 3

    def is_due(self, update: int) -> bool:
        """Return true if units are chosen at this update: every `interval`, and at the end."""
        return update == self.end or (update < self.end and update % self.interval == 0)


def update_number(value: float, max_update: int) -> int:
    """Return the update that a flag means: up to 1 a fraction of all updates, above 1 a number.

    Args:
        value: >= 0; `max_update`: > 0 if `value` is a fraction above 0.
    """
    return round(value * max_update) if value <= 1 else int(value)
