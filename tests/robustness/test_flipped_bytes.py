"""A changed byte in any file that we read is one clear error, or changes nothing.

Files without checksums (a dictionary, JSON of other programs, PyTorch's old format) may be read as
other values, where those are legal; no change ends in a traceback.
"""

import random

import pytest

from files_read import FILES

KIND = "flipped bytes"


def replace(path, content):
    """Give a file other content; what is mapped to memory keeps the old one."""
    new = path.with_name("changed")
    new.write_bytes(content)
    new.replace(path)


@pytest.mark.parametrize("name", FILES)
def test_flipped_bytes(name, inputs, tally, tmp_path):
    file = FILES[name]
    expected = file.read(inputs, tmp_path / "work")
    assert expected.result and not expected.problem
    path, chooser = file.find(inputs), random.Random(name)
    content = path.read_bytes()
    for _ in range(file.tries):
        place, bits = chooser.randrange(int(len(content) * file.within)), chooser.randrange(1, 256)
        replace(path, content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :])
        reading = file.read(inputs, tmp_path / "work")
        outcome, problem = reading.outcome(expected.result), reading.problem
        if outcome == "read as other values" and file.sealed:
            problem = "other values, silently"
        tally.add(outcome, problem and f"{path.name}, byte {place} ^ {bits}: {problem}")
    replace(path, content)
