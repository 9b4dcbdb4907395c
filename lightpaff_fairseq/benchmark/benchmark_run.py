"""Flags of every measurement, their checks, and the JSON file."""

import dataclasses
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.output_file import file_problem, write_json
from ..flags import flag, too_small
from ..problems import Problems
from .timing import CLOCKS


@dataclass(frozen=True, kw_only=True)
class Place:
    """The device of a measurement."""

    device: str = flag("where to run (default: %(default)s)", "cpu", choices=("cpu", "cuda"))

    def problems(self) -> Problems:
        """Return what is wrong with the flags; subclasses add their own."""
        problems = Problems()
        problems.unless(
            self.device != "cuda" or torch.cuda.is_available(),
            "--device cuda: PyTorch finds no GPU here",
        )
        return problems


@dataclass(frozen=True, kw_only=True)
class TimedPlace(Place):
    """The device of a measurement and the clock that times it."""

    clock: str = flag(
        "wall, or cpu: the time that this process got, all threads together, for machines with "
        "other jobs (default: %(default)s)",
        "wall",
        choices=tuple(CLOCKS),
    )

    def problems(self) -> Problems:
        """Return what is wrong with the flags."""
        problems = super().problems()
        problems.unless(
            self.clock == "wall" or self.device == "cpu",
            f"--clock {self.clock}: does not see what --device {self.device} does",
        )
        return problems


@dataclass(frozen=True, kw_only=True)
class Output:
    """How many threads a measurement takes, and where its results go."""

    threads: int | None = flag("CPU threads (default: PyTorch's)", None, metavar="N")
    json: Path | None = flag("also write the results here", None, metavar="FILE")

    def problems(self) -> Problems:
        """Return what is wrong with the flags; subclasses add their own."""
        problems = Problems([] if self.threads is None else too_small(self, threads=1))
        if self.json:
            problems.extend([file_problem(self.json, "--json", overwrite=True)])
        return problems

    def start(self) -> None:
        """Check the flags and set the number of threads.

        Raises:
            ValueError: a flag's value cannot be used.
        """
        self.problems().raise_if_any()
        if self.threads:
            torch.set_num_threads(self.threads)

    def write(self, report: dict[str, Any]) -> None:
        """Write the results to --json, if that was given."""
        if self.json:
            write_json(self.json, report, "--json")


@dataclass(frozen=True, kw_only=True)
class Run(Output):
    """Rounds of timing, threads, and where the results go."""

    repeats: int = flag("rounds of timing (default: %(default)s)", 5, metavar="N")

    def problems(self) -> Problems:
        """Return what is wrong with the flags."""
        problems = super().problems()
        problems.extend(too_small(self, repeats=1))
        return problems


def describe(problem: Any) -> dict[str, Any]:
    """Return what was measured and on which machine, as a report stores it."""
    return {
        **dataclasses.asdict(problem),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
