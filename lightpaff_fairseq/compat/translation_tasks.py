"""Translation tasks: mBART's arguments, and training data in several parts."""

import inspect
from collections.abc import Callable
from typing import Any

from fairseq.tasks import translation
from fairseq.tasks.translation import TranslationConfig
from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask

from .patching import patch


@patch(
    TranslationFromPretrainedBARTTask,
    "__init__",
    issues=(3169, 4479),
    needed=lambda: "args" in TranslationFromPretrainedBARTTask.build_generator.__code__.co_names,
)
def keep_arguments_of_mbart(
    original: Callable[..., None], self: Any, args: Any, *more: Any, **kwargs: Any
) -> None:
    """Set `self.args`, which `translation_from_pretrained_bart` (mBART) reads and nothing sets.

    Without it the task fails while loading data or building a generator.
    """
    original(self, args, *more, **kwargs)
    if not hasattr(self, "args"):
        self.args = args


@patch(
    translation,
    "load_langpair_dataset",
    issues=(3644,),
    needed=lambda: TranslationConfig.__dataclass_fields__["upsample_primary"].default < 1,
)
def join_parts_of_split(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Join `train`, `train1`, ... of `--task translation`, as all other tasks do.

    `--upsample-primary`, by default -1, is taken for the number of times that the first part is
    repeated: numpy then complains of negative dimensions.
    """
    call = inspect.signature(original).bind(*args, **kwargs)
    call.arguments["upsample_primary"] = max(1, call.arguments["upsample_primary"])
    return original(*call.args, **call.kwargs)
