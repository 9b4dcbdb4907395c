"""Describe what `lightpaff convert` is asked for and what it writes; imports no fairseq."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..embedding_poolings import POOLINGS
from ..flags import at_least, flag, range_problems
from ..problems import Problems

if TYPE_CHECKING:
    from .hf_parity import Comparison

MODEL, ORIGIN = "model.pt", "huggingface"  # of a fairseq folder; ORIGIN is what came with the model
ENCODING, RECORD = "encoding.json", "lightpaff.json"
MARKS = (ENCODING, RECORD)  # one of them is in every folder that is written

TARGETS = {"hf": "fairseq", "mass": "fairseq", "fairseq": "hf"}  # --from -> --to
MASS_ONLY = dict.fromkeys(("dict", "heads"), ("mass",))
HF_ONLY = dict.fromkeys(("segment", "num_classes"), ("hf",))
FAIRSEQ_ONLY = dict.fromkeys(("data", "tokenizer", "pooling"), ("fairseq",))
ONLY_FROM = {**HF_ONLY, "langs": ("hf", "mass"), **MASS_ONLY, **FAIRSEQ_ONLY}


@dataclass(frozen=True)
class Conversion:
    """Flags of `lightpaff convert`: `Conversion(("hf", "bart-base"), ("fairseq", "out"))`."""

    source: Sequence[str | Path] = flag(
        "what to read: a Hugging Face folder, a released MASS file, a fairseq checkpoint",
        name="--from",
        nargs=2,
        metavar=("{hf,mass,fairseq}", "PATH"),
    )
    target: Sequence[str | Path] = flag(
        "what to write: a folder with model.pt, dict.txt and the tokenizer, or a Hugging Face "
        "folder",
        name="--to",
        nargs=2,
        metavar=("{fairseq,hf}", "DIR"),
    )
    segment: int | None = flag(
        "BERT: fold this segment embedding into the positions of a stock roberta, for single "
        "sentences (default: the model bert, which reads pairs)",
        None,
        metavar="N",
        expected=at_least(0),
    )
    langs: Sequence[str] | None = flag(
        "languages to record in a translation model (default: source target)",
        None,
        nargs=2,
        metavar=("SRC", "TGT"),
    )
    dict: Path | None = flag("MASS: its dict.txt (default: beside the file)", None, metavar="FILE")
    heads: int | None = flag(
        "MASS: attention heads (default: width / 64)", None, metavar="N", expected=at_least(1)
    )
    num_classes: int | None = flag(
        "encoders: put a new classification head with this many outputs (1: a regression) on a "
        "model without one (default: the heads that it has)",
        None,
        metavar="N",
        expected=at_least(1),
    )
    data: Path | None = flag(
        "fairseq: folder of its dictionaries (default: the checkpoint's, or where it was trained)",
        None,
        metavar="DIR",
    )
    tokenizer: Path | None = flag(
        "fairseq: folder of lightpaff convert with the model's tokenizer (default: the "
        "checkpoint's folder or --data, if it has one; otherwise the model reads tokens)",
        None,
        metavar="DIR",
    )
    pooling: str | None = flag(
        "fairseq: write a sentence-transformers folder whose embeddings are the mean of all "
        "tokens' outputs or the first token's, normalized (default: that of --criterion kd_embed)",
        None,
        choices=POOLINGS,
    )
    force: bool = flag("replace the output (default: refuse)", default=False)

    @property
    def path(self) -> Path:
        """Return what to read."""
        return Path(self.source[1])

    @property
    def out(self) -> Path:
        """Return the folder to write."""
        return Path(self.target[1])

    @property
    def named(self) -> str:
        """Return `--from KIND PATH`, for error messages."""
        return f"--from {self.source[0]} {self.path}"

    @property
    def languages(self) -> tuple[str, str]:
        """Return the source and the target language."""
        source, target = self.langs or ("source", "target")
        return source, target

    def check(self) -> None:
        """Refuse unknown directions, flags without effect, and languages that no file name takes.

        Raises:
            ValueError: all problems.
        """
        (kind, _), (to, _) = self.source, self.target
        if TARGETS.get(str(kind)) != to:
            raise ValueError(
                f"--from {kind} --to {to}: expected --from hf or mass --to fairseq, or --from "
                "fairseq --to hf"
            )
        problems = Problems()
        for name, kinds in ONLY_FROM.items():
            expected = f"expected with --from {' or '.join(kinds)}, got --from {kind}"
            problems.unless(
                getattr(self, name) is None or kind in kinds,
                f"--{name.replace('_', '-')}: {expected}",
            )
        for language in self.langs or ():
            problems.unless(
                re.fullmatch(r"[\w-]+", language) is not None,
                f"--langs {language!r}: expected a name of letters, digits, _ and -",
            )
        source, target = self.languages
        problems.unless(
            source != target, f"--langs {source} {target}: expected two different languages"
        )
        problems.extend(range_problems(self))
        problems.raise_if_any()


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        path: the file or folder.
        compared: both models on the same texts; None for MASS, as there is no model to compare
            with.
        notes: what the user should know.
        flags: those of fairseq-train that describe the model; empty to Hugging Face.
        encoding: the flags that turn text into the model's tokens.
    """

    path: Path
    compared: "Comparison | None"
    notes: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    encoding: str = ""
