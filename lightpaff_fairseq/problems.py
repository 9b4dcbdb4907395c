"""Collect all problems with an input, and raise them as one error."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Problems:
    """The problems with an input, one message each.

    Use it to check all flags before any work is done:

        problems = Problems()
        problems.unless(0 <= lam <= 1, f"--kd-lambda {lam}: expected a number from 0 to 1")
        problems.raise_if_any()
    """

    def __init__(self, messages: Iterable[str | None] = ()) -> None:
        self.messages: list[str] = []
        self.extend(messages)

    def __bool__(self) -> bool:
        return bool(self.messages)

    def add(self, message: str) -> None:
        """Add one problem."""
        self.messages.append(message)

    def extend(self, messages: "Iterable[str | None] | Problems") -> None:
        """Add several problems; None stands for a check that passed."""
        if isinstance(messages, Problems):
            messages = messages.messages
        self.messages += [message for message in messages if message is not None]

    def unless(self, condition: bool, message: str) -> None:
        """Add a problem unless `condition` holds."""
        if not condition:
            self.add(message)

    def raise_if_any(self, prefix: str = "") -> None:
        """Raise all problems as one error.

        Raises:
            ValueError: `prefix`, then the problems in the order they were added, separated by
                semicolons.
        """
        if self.messages:
            raise ValueError(prefix + "; ".join(self.messages))


@contextmanager
def prefix_errors(flag: str) -> Iterator[None]:
    """Put `flag`, with its value, in front of a ValueError that names no flag yet."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith("--"):
            raise
        raise ValueError(f"{flag}: {error}") from error


@contextmanager
def as_value_error(
    message: str, kinds: type[Exception] | tuple[type[Exception], ...] = Exception
) -> Iterator[None]:
    """Raise `message` and an exception's own text, on one line, as a ValueError in its place."""
    try:
        yield
    except kinds as error:
        raise ValueError(f"{message}: {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """Return the text of an exception on one line, without advice that only fairseq-train has."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(
        "Could not infer language pair, please provide it explicitly",
        "no files train.SOURCE-TARGET.SOURCE with a pair of languages",
    )
