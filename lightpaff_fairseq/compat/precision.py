"""bfloat16 without a TPU."""

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

from fairseq import options

from .patching import patch


@patch(
    options,
    "parse_args_and_arch",
    needed=lambda: importlib.util.find_spec("torch_xla") is None,
)
def allow_bf16_without_tpu(
    original: Callable[..., Any], parser: Any, input_args: Any = None, *args: Any, **kwargs: Any
) -> Any:
    """Let `--bf16` mean bfloat16 on a GPU or CPU where no `torch_xla` is installed.

    fairseq takes it for `--tpu` too and fails on the missing package, while
    `fairseq-hydra-train common.bf16=true` trains on any device. `--tpu` itself still fails.
    """
    words = sys.argv[1:] if input_args is None else input_args
    if {"--fp16", "--bf16"} <= set(words):
        parser.error("--fp16, --bf16: expected one of them, got both")
    parsed = original(parser, input_args, *args, **kwargs)
    flags = parsed[0] if isinstance(parsed, tuple) else parsed
    if getattr(flags, "bf16", False) and "--tpu" not in words:  # suppress_defaults: may lack it
        flags.tpu = False
    return parsed
