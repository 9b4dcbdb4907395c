"""The optional package `transformers`, imported only where it is needed."""

import importlib
import os
import sys
from typing import Any


def transformers_package() -> Any:
    """The package `transformers`, kept off the network.

    Raises:
        ValueError: it is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    _hide_broken("torchaudio")
    try:
        module = importlib.import_module("transformers")
    except ImportError as error:
        raise ValueError(
            "Hugging Face models need the package transformers: pip install 'lightpaff-fairseq[hf]'"
        ) from error
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module


def _hide_broken(name: str) -> None:
    """Makes a package that is installed but cannot be loaded look absent.

    transformers imports torchaudio wherever it is installed. fairseq-fixed declares it, so it is
    there even where its library does not fit (a CPU build of PyTorch, say).
    """
    if name in sys.modules:
        return
    try:
        importlib.import_module(name)
    except (ImportError, OSError):
        sys.modules[name] = None  # type: ignore[assignment]  # how Python marks a blocked import
        asked = sys.modules.get("transformers.utils.import_utils")  # it may have looked already
        answer: Any = getattr(asked, f"is_{name}_available", None)
        if hasattr(answer, "cache_clear"):
            answer.cache_clear()
