"""fairseq's own flags that our commands pass on, or interpret themselves: ranges, and parsing."""

import math
import shlex
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from .flags import Range, at_least

POST_PROCESS = "sentencepiece, wordpiece, letter, silence, _EOW, subword_nmt, '@@ ' or none"
OFF = -1  # fairseq's "off" where 0 would be a number
FINITE = Range("a number from -1000 to 1000", -1000, 1000)
POST_PROCESS_FLAGS = ("--post-process", "--remove-bpe")
# By the group of fairseq's configuration.
RANGES: dict[str, dict[str, Range]] = {
    "generation": {
        "beam": at_least(1),
        "nbest": at_least(1),
        "max_len_a": Range("0 or more", 0, 1e6),
        "max_len_b": at_least(0),
        "min_len": at_least(0),
        "lenpen": FINITE,
        "unkpen": Range("a number from -1e9 to 1e9", -1e9, 1e9),
        "lm_weight": FINITE,
        "prefix_size": at_least(0),
        "no_repeat_ngram_size": at_least(0),
        "sampling_topk": Range("1 or more, or -1 (off)", 1, also=OFF),
        "sampling_topp": Range(
            "a number above 0, up to 1, or -1 (off)", 0, 1, is_open=True, also=OFF
        ),
        "temperature": Range("a number above 0, from 0.001 to 1000", 0.001, 1000),
        "diverse_beam_groups": Range("1 or more, or -1 (off)", 1, also=OFF),
        "diverse_beam_strength": Range("0 or more", 0, 1000),
        "diversity_rate": Range("0 or more, or -1 (off)", 0, 1000, also=OFF),
        "beam_mt": at_least(0),
        "max_len_a_mt": Range("0 or more", 0, 1e6),
        "max_len_b_mt": at_least(0),
        "lenpen_mt": FINITE,
        "iter_decode_eos_penalty": FINITE,
        "iter_decode_max_iter": at_least(0),
        "iter_decode_with_beam": at_least(1),
    },
    "dataset": {
        "max_tokens": at_least(1),
        "batch_size": at_least(1),
        "num_workers": at_least(0),
        "required_batch_size_multiple": at_least(1),
    },
    "common": {"seed": at_least(0)},
}


def fairseq_flag_problems(cfg: Any, *groups: str) -> Iterator[str]:
    """Yield a message for every flag of these groups of a configuration that is out of range."""
    for group in groups:
        for name, expected in RANGES[group].items():
            value = cfg[group][name]
            flag = f"--{name.replace('_', '-')}"
            problem = None if value is None else expected.problem(flag, value)
            if problem is not None:
                yield problem


def post_process_problem(flag: str, value: str | None) -> str | None:
    """Return a message if fairseq has no such --post-process (also --remove-bpe), else None."""
    from fairseq.data import data_utils

    try:
        data_utils.post_process("a", value)
    except NotImplementedError:  # what fairseq raises for a name that it does not know
        return f"{flag} {value}: expected {POST_PROCESS}"
    return None


def words_problems(words: Sequence[str]) -> Iterator[str]:
    """Yield a message for every flag out of range among the words of a command line of fairseq."""
    ranges = {name: x for group in RANGES.values() for name, x in group.items()}
    for word, following in zip(words, [*words, ""][1:], strict=True):
        flag, equals, value = word.partition("=")
        expected = ranges.get(flag.removeprefix("--").replace("-", "_"))
        text = value if equals else following
        if flag in POST_PROCESS_FLAGS and text and not text.startswith("--"):
            yield from filter(None, [post_process_problem(flag, text)])
        if flag.startswith("--") and expected is not None and _number(text) not in expected:
            yield f"{flag} {text}: expected {expected.words}"


def parse_fairseq(command: str, argv: Sequence[str], flag: str, words: str) -> Any:
    """Return the configuration of a command of fairseq with a user's flags.

    Args:
        command: fairseq-train, fairseq-generate or fairseq-eval-lm.
        argv: other arguments, before the user's.
        flag: the flag whose value is `words`, for the message.
        words: the user's flags, quoted as in a shell.
    Raises:
        ValueError: fairseq rejects `words`.
    """
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    parsers = {
        "fairseq-train": options.get_training_parser,
        "fairseq-generate": options.get_generation_parser,
        "fairseq-eval-lm": options.get_eval_lm_parser,
    }
    try:
        args = options.parse_args_and_arch(parsers[command](), [*argv, *shlex.split(words)])
    except SystemExit as error:
        raise ValueError(f"{flag}: {command} rejects {words!r} (see above)") from error
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # hydra's, about fairseq
        return convert_namespace_to_omegaconf(args)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
