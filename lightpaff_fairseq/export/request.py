"""What an export was asked for, and what was found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .parity import Parity
from .quality import Quality


@dataclass(frozen=True)
class Request:
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
    data: Optional[Path] = None
    quantization: Optional[str] = None
    subset: Optional[str] = None
    sentences: int = 500
    max_drop: float = 0.5
    remove_bpe: Optional[str] = None
    sentencepiece_model: Optional[Path] = None


@dataclass(frozen=True)
class Report:
    """What was found before the folder was put in place; `before`, `after`: quantization."""

    parity: Parity
    before: Optional[Quality] = None
    after: Optional[Quality] = None
