"""Repairs of fairseq 0.12's tasks."""

import functools
from typing import Any

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
