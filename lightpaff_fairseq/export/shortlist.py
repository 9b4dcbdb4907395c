"""A lexical shortlist: the target tokens that a translation may use, by the source's n-grams.

CTranslate2 reads it from `vmap.txt` and computes the output layer for these tokens only: those of
every n-gram of any sentence of the batch, those always allowed, and the special tokens. A line of
the file is `source tokens<TAB>target tokens`, joined by blanks; the tokens that are always allowed
have an empty left side. Its parser checks nothing: it takes a line without a TAB for the tokens
that are always allowed, lets the later of two equal keys win, and crashes without any line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = "vmap.txt"
BLANKS = " \t\n\r"
ALWAYS: tuple[str, ...] = ()  # key of the tokens that are always allowed

Rules = Mapping[tuple[str, ...], Sequence[str]]


@dataclass(frozen=True)
class Shortlist:
    """Target tokens by source n-gram; `ALWAYS`: without any.

    Raises:
        ValueError: `vmap.txt` cannot hold the rules.
    """

    rules: Rules

    def __post_init__(self) -> None:
        for key, targets in self.rules.items():
            for token in (*key, *targets):
                if not is_writable(token):
                    raise ValueError(f"shortlist: token {token!r} is empty or contains a blank")
            if not targets or len(set(targets)) < len(targets):
                raise ValueError(f"shortlist: expected different targets of {key}, got {targets}")
        if ALWAYS not in self.rules:
            raise ValueError("shortlist: expected tokens that are always allowed, got none")

    @property
    def entries(self) -> int:
        """The number of target tokens of all rules."""
        return sum(map(len, self.rules.values()))

    def candidates(self, sources: Iterable[Sequence[str]]) -> set[str]:
        """Return the allowed target tokens of a batch, without the special ones."""
        longest = max(map(len, self.rules))
        allowed = set(self.rules[ALWAYS])
        for source in sources:
            for size in range(1, longest + 1):
                for start in range(len(source) - size + 1):
                    allowed.update(self.rules.get(tuple(source[start : start + size]), ()))
        return allowed

    def write(self, folder: Path) -> None:
        """Write `vmap.txt`, sorted, into the folder of an exported model."""
        lines = sorted(f"{' '.join(k)}\t{' '.join(sorted(v))}\n" for k, v in self.rules.items())
        (folder / FILE).write_text("".join(lines), encoding="utf-8", newline="\n")


def is_writable(token: str) -> bool:
    """Return whether a token can be part of a rule."""
    return bool(token) and not any(blank in token for blank in BLANKS)
