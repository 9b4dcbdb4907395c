"""Write random text in fairseq's binary format, for benchmarks."""

from pathlib import Path

import torch
from fairseq.data import Dictionary, indexed_dataset

SPLIT = "train"


def write_corpus(folder: Path, vocab: int, sentences: int, length: int) -> Path:
    """Write a dictionary and one split of equally long sentences.

    Args:
        folder: an existing folder, for dict.txt, train.bin and train.idx.
        vocab: size of the dictionary with its four special symbols and `<mask>`, the last one.
        sentences: number of sentences; `length`: tokens per sentence, eos included.
    Returns:
        `folder`.
    """
    dictionary = Dictionary()
    first = dictionary.nspecial
    for i in range(vocab - first - 1):
        dictionary.add_symbol(f"w{i}")
    dictionary.add_symbol("<mask>")
    dictionary.save(str(folder / "dict.txt"))
    generator = torch.Generator().manual_seed(1)
    prefix = folder / SPLIT
    builder = indexed_dataset.make_builder(f"{prefix}.bin", impl="mmap", vocab_size=vocab)
    for _ in range(sentences):
        words = torch.randint(first, vocab - 1, (length - 1,), generator=generator)
        builder.add_item(torch.cat([words, torch.tensor([dictionary.eos()])]))
    builder.finalize(f"{prefix}.idx")
    return folder
