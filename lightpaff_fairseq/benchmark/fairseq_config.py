"""Parse words of the command line as fairseq-train does."""

import shlex
import warnings
from collections.abc import Sequence
from typing import Any

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf


def parse_training(argv: Sequence[str], flag: str, words: str) -> Any:
    """Return the configuration of fairseq-train with flags that a user gave.

    Args:
        argv: other arguments, before the user's.
        flag: the flag that the user's words came with, for the message.
    Raises:
        ValueError: fairseq-train does not take the words.
    """
    try:
        parser = options.get_training_parser()
        args = options.parse_args_and_arch(parser, [*argv, *shlex.split(words)])
    except SystemExit as error:
        raise ValueError(f"{flag}: fairseq-train does not take {words!r} (see above)") from error
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # hydra's, of fairseq
        return convert_namespace_to_omegaconf(args)
