"""Run commands in this process, and tell what came of them."""

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lightpaff_fairseq.cli.main import main

FULL, BAD_INPUT = 1, 2


@dataclass(frozen=True)
class Outcome:
    """What a command returned and printed; `code` None: it ended in the traceback `error`."""

    code: int | str | None
    error: str

    def refusal_problem(self, name: str, code: int = BAD_INPUT) -> str | None:
        """Return what is wrong with an error that should be one sentence; None: nothing."""
        is_sentence = self.error.startswith(f"lightpaff {name}: error: ")
        if self.code == code and is_sentence and self.error.count("\n") == 1:
            return None
        return f"expected exit code {code} and one line, got {self.code} and {self.error[-1500:]}"


def attempt(command: str, inputs: Mapping[str, Path], out: Path) -> Outcome:
    """Run a command line with placeholders, as `strip --path {pair} --out {out}`."""
    words = command.format_map(Places(inputs, out)).split()
    error = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(error), unraisable_errors():
        try:
            code = main(words)
        except SystemExit as stopped:
            code = stopped.code
        except Exception:  # a traceback is the fault that the tests look for
            return Outcome(None, traceback.format_exc())
    return Outcome(code, error.getvalue())


@contextmanager
def unraisable_errors() -> Iterator[None]:
    """Print errors in `__del__` as Python does, where pytest would only warn of them."""
    hook, sys.unraisablehook = sys.unraisablehook, sys.__unraisablehook__
    try:
        yield
    finally:
        sys.unraisablehook = hook


class Places(dict[str, Path]):
    """The inputs, and `out`."""

    def __init__(self, inputs: Mapping[str, Path], out: Path) -> None:
        super().__init__(out=out)
        self.inputs = inputs

    def __missing__(self, name: str) -> Path:
        return self.inputs[name]
