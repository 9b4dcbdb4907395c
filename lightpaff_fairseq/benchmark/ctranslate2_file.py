"""Count the parameters in a model.bin of CTranslate2, which its library does not tell."""

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

VERSION = 6  # of the layout; see `_serialize` in CTranslate2's specs/model_spec.py


def count_parameters(path: Path) -> int | None:
    """Return the number of weights; tied and equal ones count once, scales of quantization do not.

    Returns:
        None for another version of the layout.
    Raises:
        ValueError: the file ends early.
    """
    try:
        with path.open("rb") as file:
            return _count(file)
    except struct.error as error:
        raise ValueError(f"{path}: corrupt: it ends in the middle of an entry") from error


def _count(file: BinaryIO) -> int | None:
    if _number(file, "I") != VERSION:
        return None
    file.seek(_number(file, "H"), os.SEEK_CUR)  # the name of the model's type
    _number(file, "I")  # its revision
    total = 0
    for _ in range(_number(file, "I")):
        name = file.read(_number(file, "H"))
        shape = [_number(file, "I") for _ in range(_number(file, "B"))]
        _number(file, "B")  # the type of the values
        file.seek(_number(file, "I"), os.SEEK_CUR)
        if shape and not name.rstrip(b"\0").endswith(b"_scale"):
            total += math.prod(shape)
    return total


def _number(file: BinaryIO, kind: str) -> int:
    (value,) = struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))
    return int(value)
