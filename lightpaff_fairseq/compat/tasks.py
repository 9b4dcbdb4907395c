"""Repairs of fairseq 0.12's tasks."""

import functools
from typing import Any

from fairseq.tasks import translation, translation_from_pretrained_bart, translation_lev
from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask


def keep_arguments_of_mbart() -> None:
    """`translation_from_pretrained_bart` (mBART) reads `self.args`, which nothing sets any more.

    It fails while loading data or building a generator (fairseq #3169, #4479).
    """
    original = TranslationFromPretrainedBARTTask.__init__
    if getattr(original, "keeps_arguments", False):
        return

    @functools.wraps(original)
    def init(self: Any, args: Any, *more: Any, **kwargs: Any) -> None:
        original(self, args, *more, **kwargs)
        if not hasattr(self, "args"):
            self.args = args

    init.keeps_arguments = True  # type: ignore[attr-defined]
    TranslationFromPretrainedBARTTask.__init__ = init


def join_parts_of_a_split() -> None:
    """`train`, `train1`, ... of `--task translation` are one split, as of all other tasks.

    `--upsample-primary`, by default -1, is taken for the number of times that the first part is
    repeated: numpy then complains of negative dimensions.
    """
    original = translation.load_langpair_dataset
    if getattr(original, "joins_parts", False):
        return

    @functools.wraps(original)
    def load_langpair_dataset(*args: Any, upsample_primary: int = 1, **kwargs: Any) -> Any:
        return original(*args, upsample_primary=max(1, upsample_primary), **kwargs)

    load_langpair_dataset.joins_parts = True  # type: ignore[attr-defined]
    for module in (translation, translation_from_pretrained_bart, translation_lev):
        module.load_langpair_dataset = load_langpair_dataset
