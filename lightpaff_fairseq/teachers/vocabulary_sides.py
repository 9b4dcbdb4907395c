"""One of the two vocabularies of a map: dictionaries and SentencePiece model."""

import base64
from dataclasses import dataclass
from typing import Any

from fairseq.data import Dictionary


@dataclass(frozen=True)
class Vocabulary:
    """The text side of one model.

    Attributes:
        source, target: symbols of its dictionaries; a language model has no source, `()`.
        model: its SentencePiece model, serialized, in base64.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    model: str

    def dictionary(self, role: str) -> Dictionary:
        """Return the `source` or `target` dictionary."""
        dictionary = Dictionary()
        for symbol in getattr(self, role):
            dictionary.add_symbol(symbol)
        return dictionary

    def processor(self) -> Any:
        """Load the SentencePiece model."""
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(self.model))
