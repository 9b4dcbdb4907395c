"""Keep the points of a learning curve of any length in bounded memory."""

import math
from array import array
from collections.abc import Mapping

MOST_POINTS = 4096  # even; a plot is about 450 pixels wide

Points = Mapping[int, float]  # update -> value


class Curve(dict[int, float]):
    """Update -> value: all points, or from `MOST_POINTS` on every 2nd, 4th, ... and the last one.

    Attributes:
        every: 1 as long as all points are kept; then one of so many is.
        count: number of points that were added.
        gaps: updates of all points, kept or not, whose value is NaN or infinite.
    """

    def __init__(self) -> None:
        super().__init__()
        self.every, self.count, self.gaps = 1, 0, array("q")
        self._extra: int | None = None  # update of a point that is kept only while it is the last

    def add(self, update: int, value: float) -> None:
        """Add a point, or replace that of the same update."""
        is_new = update not in self
        if not is_new and update in self.gaps:
            self.gaps.remove(update)
        if not math.isfinite(value):
            self.gaps.append(update)
        if is_new:
            self._append(update, value)
        self[update] = value

    def _append(self, update: int, value: float) -> None:
        if self._extra is not None:
            del self[self._extra]
        self[update] = value
        self._extra = update if self.count % self.every else None
        self.count += 1
        if len(self) > MOST_POINTS and self._extra is None:
            self._keep(list(self.items())[::2])
            self.every *= 2

    def drop_from(self, update: int) -> None:
        """Remove the points from an update on."""
        if self and max(self) >= update:
            self._keep([point for point in self.items() if point[0] < update])
            self.count, self._extra = len(self) * self.every, None
            self.gaps = array("q", (gap for gap in self.gaps if gap < update))

    def arrange(self) -> None:
        """Sort the points by update."""
        self._keep(sorted(self.items()))

    def _keep(self, points: list[tuple[int, float]]) -> None:
        self.clear()
        self.update(points)
