"""What an export was asked for, and what was found."""

from dataclasses import dataclass
from pathlib import Path

from .export_parity import Parity
from .export_quality import Quality


@dataclass(frozen=True)
class ExportRequest:
    """What `lightpaff export` was asked for.

    Attributes:
        path, to, out, force: the checkpoint, the format, the folder, and whether to replace it.
        data: folder of the dictionaries; None: where the checkpoint was trained.
        quantization: of the weights; None: float32.
        subset: split of `data` on which models are compared; None: valid, if it is there.
        sentences: of it, for the quality of quantized weights; 0: all.
        max_drop: the most that they may lose: points of BLEU, accuracy or Pearson's correlation
            (0 to 100); of a language model percent of perplexity.
        remove_bpe: as fairseq's, for BLEU; None: what the dictionary looks like.
        sentencepiece_model: to be put beside the model; None: none.
    """

    path: Path
    to: str
    out: Path
    force: bool = False
    data: Path | None = None
    quantization: str | None = None
    subset: str | None = None
    sentences: int = 500
    max_drop: float = 0.5
    remove_bpe: str | None = None
    sentencepiece_model: Path | None = None


@dataclass(frozen=True)
class ExportReport:
    """What was found before the folder was put in place; `before`, `after`: quantization."""

    parity: Parity
    before: Quality | None = None
    after: Quality | None = None
