"""A task with a dictionary of any size, for models that are built without data."""

from types import SimpleNamespace

from fairseq.data import Dictionary


def task_with_vocabulary(size: int) -> SimpleNamespace:
    symbols = Dictionary()
    for i in range(size - symbols.nspecial):
        symbols.add_symbol(f"w{i}")
    assert len(symbols) == size
    return SimpleNamespace(source_dictionary=symbols, target_dictionary=symbols)
