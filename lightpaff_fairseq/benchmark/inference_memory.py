"""Measure the peak memory of loading a model and running it, in a fresh process."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..export.sample_batches import split_samples
from ..megabytes import MEGABYTE
from .inference_backends import Variant
from .inference_settings import InferenceProblem
from .peak_memory import peak_extra_bytes


def peak_mb(variant: Variant, problem: InferenceProblem) -> float | None:
    """Return the MB to load a model and run every batch; None: unknown.

    On a GPU only that of PyTorch is known.
    """
    if problem.device != "cpu" and variant.folder is not None:
        return None
    peak = peak_extra_bytes(_first_run, (variant, problem), "", problem.device)
    return None if peak is None else peak / MEGABYTE


def _first_run(
    settings: tuple[Variant, InferenceProblem], _: str, small: bool
) -> Callable[[], Any]:
    """Set up the first run of a variant (a `peak_memory.Factory`)."""
    logging.getLogger().setLevel(logging.WARNING)  # a fresh process: fairseq set it to DEBUG
    variant, problem = settings
    opened = variant.open()
    count = 1 if small else problem.sentences
    batches = split_samples(opened, problem.subset, count, problem.batch)
    model = replace(opened, model=None)
    if small:
        engine = variant.load(model)
        return lambda: engine.run(batches[0])

    def run() -> None:
        engine = variant.load(model)
        for batch in batches:
            engine.run(batch)

    return run
