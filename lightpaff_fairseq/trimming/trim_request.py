"""Flags of `lightpaff trim-vocab`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.output_folder import OutputFolder
from ..flags import Range, at_least, flag, range_problems
from ..problems import Problems

RECORD, DATA_RECORD = "trim.json", "rebinarized.json"
CHOOSING = ("data", "keep", "coverage", "langs", "tokenizer", "split")  # not with --like


@dataclass(frozen=True)
class TrimRequest:
    """Flags of `lightpaff trim-vocab`."""

    out: Path = flag("the folder to write", metavar="FOLDER")
    path: Path | None = flag("fairseq checkpoint whose vocabulary is cut", None, metavar="FILE")
    data: Sequence[Path] | None = flag(
        "folders of fairseq-preprocess whose tokens are counted",
        None,
        nargs="+",
        metavar="FOLDER",
    )
    keep: int | None = flag(
        "number of tokens to keep: special ones, the characters of the data, and the most frequent",
        None,
        metavar="N",
        expected=at_least(1),
    )
    coverage: float | None = flag(
        "instead of --keep: keep the most frequent tokens that make up this share of the data, as "
        "0.9999",
        None,
        metavar="SHARE",
        expected=Range("a share above 0, up to 1", 0, 1, is_open=True),
    )
    langs: Sequence[str] | None = flag(
        "multilingual models: languages to keep (default: all)", None, nargs="+", metavar="LANG"
    )
    tokenizer: Path | None = flag(
        "what cut the text into tokens: a SentencePiece model, or a folder of lightpaff convert "
        "(default: the checkpoint's folder)",
        None,
        metavar="PATH",
    )
    split: str | None = flag("split to count (default: train)", None, metavar="NAME")
    like: Path | None = flag(
        "folder that this command wrote for another model: keep the same tokens, for a student, "
        "say",
        None,
        metavar="FOLDER",
    )
    rebinarize: Path | None = flag(
        "folder of fairseq-preprocess to rewrite with the tokens of --like, without its text",
        None,
        metavar="FOLDER",
    )
    force: bool = flag("replace an existing --out of this command (default: refuse)", False)

    @property
    def output_folder(self) -> OutputFolder:
        """The folder of --out."""
        inputs = (self.path, self.tokenizer, self.like, self.rebinarize, *(self.data or ()))
        mark = DATA_RECORD if self.rebinarize else RECORD
        return OutputFolder(self.out, "--out", (mark,), [x for x in inputs if x is not None])

    def check(self) -> None:
        """Raise ValueError, with all problems, before any work."""
        problems = Problems(range_problems(self))
        given = [name for name in CHOOSING if getattr(self, name) is not None]
        if self.like is not None:
            flags = ", ".join(f"--{name}" for name in given)
            problems.unless(not given, f"{flags}: expected without --like, which has the tokens")
            problems.unless(
                (self.path is None) != (self.rebinarize is None),
                "--like: expected with either --path, a model, or --rebinarize, its data",
            )
            problems.unless(
                (self.like / RECORD).is_file(),
                f"--like {self.like}: expected a folder of lightpaff trim-vocab, got no {RECORD}",
            )
        else:
            problems.extend(self._choice_problems())
        for name in ("path", "tokenizer", "rebinarize"):
            path: Path | None = getattr(self, name)
            problems.unless(path is None or path.exists(), f"--{name} {path}: does not exist")
        for folder in self.data or ():
            problems.unless(folder.is_dir(), f"--data {folder}: no such folder")
        problems.extend([self.output_folder.problem(self.force)])
        problems.raise_if_any()

    def _choice_problems(self) -> Problems:
        """Return what is wrong with the flags that choose the tokens."""
        problems = Problems()
        problems.unless(
            self.rebinarize is None, "--rebinarize: expected with --like, which has the tokens"
        )
        needed = {"--path": self.path, "--data": self.data}
        missing = [name for name, value in needed.items() if value is None]
        problems.unless(not missing, f"expected {' and '.join(missing)} (or --like), got none")
        both = self.keep is not None and self.coverage is not None
        problems.unless(not both, "--keep, --coverage: expected one of them, got both")
        neither = self.keep is None and self.coverage is None
        problems.unless(not neither, "expected --keep or --coverage (or --like), got none")
        return problems
