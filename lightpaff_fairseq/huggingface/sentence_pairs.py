"""How two sentences are put together, by a tokenizer and by a task."""

from typing import Any

from ..checkpoints.building import value_of


def separators(tokenizer: Any) -> int:
    """Return how many separators stand between two sentences: BERT 1, RoBERTa 2, none 0."""
    end = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    ids = list(tokenizer("a", "a").input_ids)
    return max(0, ids.count(end) - 1) if ids[-1:] == [end] else 0


def pair_template(task_cfg: Any, second_segment: int) -> str | None:
    """Return how fairseq's task puts a pair together, as a template of tokenizers.

    Args:
        task_cfg: the section of the task.
        second_segment: of the second sentence.
    Returns:
        None: not a task with pairs, or one with a separator of its own.
    """
    separator, start = value_of(task_cfg, "separator_token"), value_of(task_cfg, "init_token")
    name = value_of(task_cfg, "_name")
    if name != "sentence_prediction" or start != 0 or separator not in (None, 2):
        return None
    middle = "" if separator is None else f"</s>:{second_segment} "
    return f"<s>:0 $A:0 </s>:0 {middle}$B:{second_segment} </s>:{second_segment}"
