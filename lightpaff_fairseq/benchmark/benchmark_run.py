"""Flags that the benchmarks share, their checks, and the JSON report."""

import dataclasses
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..flags import Range, at_least, flag, range_problems
from ..output_file import file_problem, write_json
from ..problems import Problems
from ..timing import CLOCKS


@dataclass(frozen=True, kw_only=True)
class DeviceFlags:
    """The device of a benchmark."""

    device: str = flag("where to run (default: %(default)s)", "cpu", choices=("cpu", "cuda"))

    def problems(self) -> Problems:
        """Return the problems with the flags; subclasses add their own."""
        problems = Problems(range_problems(self))
        problems.unless(
            self.device != "cuda" or torch.cuda.is_available(),
            "--device cuda: expected a GPU, but PyTorch finds none",
        )
        return problems


@dataclass(frozen=True, kw_only=True)
class TimedDeviceFlags(DeviceFlags):
    """The device of a benchmark, and the clock."""

    clock: str = flag(
        "wall, or cpu: CPU time of this process, summed over threads, for machines with other jobs "
        "(default: %(default)s)",
        "wall",
        choices=tuple(CLOCKS),
    )

    def problems(self) -> Problems:
        """Return the problems with the flags."""
        problems = super().problems()
        problems.unless(
            self.clock == "wall" or self.device == "cpu",
            f"--clock {self.clock}: expected wall with --device {self.device}",
        )
        return problems


@dataclass(frozen=True, kw_only=True)
class Output:
    """The number of threads of a benchmark, and the file for its results."""

    threads: int | None = flag(
        "CPU threads (default: PyTorch's)",
        None,
        metavar="N",
        expected=Range("1 or more", 1, 4096),
    )
    json: Path | None = flag("also write the results to this file", None, metavar="FILE")

    def problems(self) -> Problems:
        """Return the problems with the flags; subclasses add their own."""
        problems = Problems(range_problems(self))
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
        """Write the results to --json, if it is set."""
        if self.json:
            write_json(self.json, report, "--json")


@dataclass(frozen=True, kw_only=True)
class Run(Output):
    """Rounds of timing, threads, and the file for the results."""

    repeats: int = flag(
        "rounds of timing (default: %(default)s)", 5, metavar="N", expected=at_least(1)
    )


def describe(problem: Any) -> dict[str, Any]:
    """Return the flags of a benchmark and the machine, as entries of the JSON report."""
    return {
        **dataclasses.asdict(problem),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
