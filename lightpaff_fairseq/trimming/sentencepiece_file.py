"""Cut pieces out of a SentencePiece model, in its file's own format (protocol buffers).

The package sentencepiece reads models and writes none; the file is a list of fields, of which the
pieces are one each, so they are left out or marked without a description of the other fields.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

PIECE, TRAINER, NORMALIZER, SELF_TEST = 1, 2, 3, 4  # fields of a model
TEXT, SCORE, TYPE = 1, 2, 3  # of a piece
MODEL_TYPE, BPE = 3, 2  # field of the trainer's settings, one value of it
NORMAL, USER_DEFINED = 1, 4  # types of pieces that stand for text; bytes are a type of their own
UNUSED = bytes((TYPE << 3, 5))  # the last value of a field counts
# Settings by which text is encoded as it is, with U+2581 for spaces: name, no character map, no
# prefix, no whitespace removed or replaced.
AS_IT_IS = b"\x0a\x08identity\x12\x00\x18\x00\x20\x00\x28\x00"


@dataclass(frozen=True)
class Field:
    """A field of a message: its number, its value or content, and all of its bytes."""

    number: int
    value: int
    content: bytes
    encoded: bytes


def cut_pieces(model: bytes, keep: Callable[[str], bool]) -> bytes:
    """Return a model without the pieces that `keep` refuses.

    Text that was encoded in kept pieces alone is encoded as before; other text in kept pieces. In
    a unigram model, refused pieces are left out. In a BPE model they stay, marked as unused:
    kept pieces are merged from them, and SentencePiece splits one that is left at the end into
    what it was merged from. Control symbols, `<unk>` and bytes always stay.

    Raises:
        ValueError: not a SentencePiece model.
    """
    is_bpe, result = False, []
    for field in fields(model):
        if field.number == TRAINER:
            is_bpe = any(x.number == MODEL_TYPE and x.value == BPE for x in fields(field.content))
    for field in fields(model):
        if field.number == SELF_TEST:  # encoded text that is checked on loading
            continue
        if field.number != PIECE or _stays(field.content, keep):
            result.append(field.encoded)
        elif is_bpe:
            result.append(_encoded(PIECE, field.content + UNUSED))
    return b"".join(result)


def encoding_as_it_is(model: bytes) -> bytes:
    """Return a model that normalizes nothing: for text that has been normalized before."""
    return model + _encoded(NORMALIZER, AS_IT_IS)


def _stays(piece: bytes, keep: Callable[[str], bool]) -> bool:
    text, kind = "", NORMAL
    for field in fields(piece):
        if field.number == TEXT:
            text = field.content.decode()
        elif field.number == TYPE:
            kind = field.value
    return kind not in (NORMAL, USER_DEFINED) or keep(text)


def fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message.

    Raises:
        ValueError: it is cut off, or no message.
    """
    start = 0
    while start < len(message):
        key, at = _number(message, start)
        value, content = 0, b""
        kind = key & 7
        if kind == 0:
            value, at = _number(message, at)
        elif kind == 2:
            size, at = _number(message, at)
            content, at = message[at : at + size], at + size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"expected a SentencePiece model, got a field of type {kind}")
        if at > len(message):
            raise ValueError("expected a SentencePiece model, got a file that is cut off")
        yield Field(key >> 3, value, content, message[start:at])
        start = at


def _number(message: bytes, at: int) -> tuple[int, int]:
    """Return a number of 7 bits per byte, and where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
    raise ValueError("expected a SentencePiece model, got a file that is cut off")


def _encoded(number: int, content: bytes) -> bytes:
    size, length = [], len(content)
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes((number << 3 | 2, *size, length)) + content
