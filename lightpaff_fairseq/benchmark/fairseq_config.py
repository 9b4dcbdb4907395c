"""Parse model flags as fairseq-train does."""

import shlex
import warnings
from collections.abc import Sequence
from typing import Any

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf


def parse_training(argv: Sequence[str], flag: str, words: str) -> Any:
    """Return the configuration of `fairseq-train` with a user's model flags.

    Args:
        argv: other arguments, before the user's.
        flag: the flag whose value is `words`, for the message.
        words: the user's flags, quoted as in a shell.
    Raises:
        ValueError: fairseq-train rejects `words`.
    """
    try:
        parser = options.get_training_parser()
        args = options.parse_args_and_arch(parser, [*argv, *shlex.split(words)])
    except SystemExit as error:
        raise ValueError(f"{flag}: fairseq-train rejects {words!r} (see above)") from error
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # hydra's, about fairseq
        return convert_namespace_to_omegaconf(args)
