"""The --kd-on-policy flags, and the arguments of the student's generator."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fairseq.dataclass import FairseqDataclass
from omegaconf import II

from ..fairseq_flags import RANGES
from ..flags import Range, at_least, flag

DEFAULTS: dict[str, Any] = {"beam": 1, "sampling": True, "max_len_a": 1.2, "max_len_b": 10}
SWITCHES = ("sampling", "unnormalized")
NUMBERS = (
    *("beam", "sampling_topk", "sampling_topp", "temperature", "max_len_a", "max_len_b"),
    *("min_len", "lenpen", "unkpen", "no_repeat_ngram_size"),
)
FRACTIONS = ("sampling_topp", "temperature", "max_len_a", "lenpen", "unkpen")


@dataclass
class OnPolicyConfig(FairseqDataclass):
    """Distillation on outputs of the student itself."""

    kd_on_policy: float = flag(
        "kd_ss, kd_lm, kd_clm: share of the updates whose targets are outputs that the student has "
        "generated, with the soft loss alone; 0 = off",
        0.0,
        expected=Range("a share from 0 (off) up to 1", 0, 1),
    )
    kd_on_policy_interval: int = flag(
        "updates after which the student generates new outputs; until then, the updates of "
        "--kd-on-policy use the last ones again",
        1,
        expected=at_least(1),
    )
    kd_on_policy_args: str = flag(
        "arguments of fairseq's generator in JSON, as for --eval-bleu-args, in addition to "
        f"'{json.dumps(DEFAULTS)}'; with a beam alone, as '{{\"beam\": 4}}', beam search",
        "{}",
    )
    kd_on_policy_prompt: int = flag(
        "kd_lm, kd_clm: number of tokens at the beginning of a block that the student continues",
        16,
        expected=at_least(0),
    )
    seed: int = II("common.seed")


def generator_arguments(cfg: OnPolicyConfig) -> dict[str, Any]:
    """Return the arguments of fairseq's generator.

    Raises:
        ValueError: --kd-on-policy-args is malformed.
    """
    try:
        given = json.loads(str(cfg.kd_on_policy_args))
    except json.JSONDecodeError as error:
        raise ValueError(f"expected an object in JSON, got an error: {error}") from error
    if not isinstance(given, dict):
        raise ValueError("expected an object in JSON")
    for name, value in given.items():
        _check_argument(name, value)
    arguments = {**DEFAULTS, **given}
    if "beam" in given and "sampling" not in given:
        arguments["sampling"] = False
    return arguments


def _check_argument(name: str, value: Any) -> None:
    if name not in (*SWITCHES, *NUMBERS):
        raise ValueError(f"{name}: expected some of {', '.join((*SWITCHES, *NUMBERS))}")
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise ValueError(f"{name}: expected true or false, got {json.dumps(value)}")
        return
    kinds = (int, float) if name in FRACTIONS else int
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    expected = RANGES["generation"][name]
    problem = expected.problem(name, value if is_number else math.nan)
    if problem:
        raise ValueError(f"{name} {json.dumps(value)}: expected {expected.words}")


def on_policy_problems(cfg: OnPolicyConfig) -> Iterator[str]:
    """Yield a message for every --kd-on-policy flag that has no effect, or malformed arguments."""
    for name in ("interval", "args", "prompt"):
        value, default = (getattr(x, f"kd_on_policy_{name}") for x in (cfg, OnPolicyConfig))
        is_other_family = name == "prompt" and getattr(cfg, "_name", None) == "kd_ss"
        if value != default and is_other_family:
            yield f"--kd-on-policy-prompt {value}: has no effect with --criterion kd_ss"
        elif value != default and not cfg.kd_on_policy:
            yield f"--kd-on-policy-{name} {value}: has no effect without --kd-on-policy"
    try:
        generator_arguments(cfg)
    except ValueError as error:
        yield f"--kd-on-policy-args {cfg.kd_on_policy_args}: {error}"
