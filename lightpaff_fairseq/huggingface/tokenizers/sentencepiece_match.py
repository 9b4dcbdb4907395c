"""Whether a SentencePiece model is the one that a dictionary was made with."""

from collections.abc import Collection
from pathlib import Path

import sentencepiece


def pieces_problem(path: Path, symbols: Collection[str]) -> str | None:
    """Why a model cannot encode text for a dictionary, in words; or None.

    A dictionary may lack pieces that were rare in its text, so half of them are enough; of the
    pieces of another language's model it has far fewer.

    Args:
        path: the model; `symbols`: of the dictionary.
    """
    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        return f"expected a SentencePiece model, found {type(error).__name__} in reading it"
    ids = range(model.get_piece_size())
    special = (model.is_control, model.is_unknown, model.is_unused, model.is_byte)
    pieces = [model.id_to_piece(i) for i in ids if not any(kind(i) for kind in special)]
    known = set(symbols)
    found = sum(piece in known for piece in pieces)
    if 2 * found >= len(pieces):
        return None
    return f"expected the dictionary's own pieces, found {found} of its {len(pieces)} in it"
