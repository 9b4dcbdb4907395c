"""Tell how a tokenizer puts two sentences together."""

from typing import Any


def separators(tokenizer: Any) -> int:
    """Return how many separators stand between two sentences: BERT 1, RoBERTa 2, none 0."""
    end = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    ids = list(tokenizer("a", "a").input_ids)
    return max(0, ids.count(end) - 1) if ids[-1:] == [end] else 0
