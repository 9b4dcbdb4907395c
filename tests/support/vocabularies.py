"""A task with a dictionary of any size, for models that are built without data; subwords."""

import io
from types import SimpleNamespace

import sentencepiece
from fairseq.data import Dictionary


def piece_model(sentences: list[str], kind: str = "unigram") -> bytes:
    """A SentencePiece model of up to 60 pieces."""
    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=writer,
        vocab_size=60,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return writer.getvalue()


def task_with_vocabulary(size: int) -> SimpleNamespace:
    symbols = Dictionary()
    for i in range(size - symbols.nspecial):
        symbols.add_symbol(f"w{i}")
    assert len(symbols) == size
    return SimpleNamespace(source_dictionary=symbols, target_dictionary=symbols)
