"""What is wrong with the settings of `lightpaff distill`, before a file is read."""

import shlex

from ..data_shards import shards_problem
from ..fairseq_flags import words_problems
from ..flags import range_problems
from ..huggingface.conversion import ENCODING
from ..problems import Problems
from .settings import RANDOM, SHARDED, TEACHER, DistillSettings, parameters, tokens_to_keep

FILES = ("teacher", "pretrained_teacher", "references", "sentencepiece_model")
SIZES = ("smaller", "params", "arch")


def setting_problems(settings: DistillSettings) -> Problems:
    """Return all problems with the settings."""
    problems = Problems(range_problems(settings))
    for name in ("teacher", "data", "out"):
        problems.unless(getattr(settings, name) is not None, f"--{name}: needed")
    problems.extend(_path_problems(settings))
    problems.unless(
        (settings.text is None) == (settings.pretrained_teacher is None),
        "--text, --pretrained-teacher: pre-training needs both",
    )
    keep = settings.keep_tokens
    problems.unless(
        keep is None or tokens_to_keep(keep) is not None,
        f"--keep-tokens {keep}: expected a number of tokens, as 2500, or a share, as 99%",
    )
    problems.extend(_start_problems(settings))
    problems.extend(_size_problems(settings))
    for name in ("train", "pretrain", "kd"):
        problems.extend(_words_problems(f"--{name}-flags", getattr(settings, f"{name}_flags")))
    idle = f"--kd-flags {settings.kd_flags}: no effect with --kd-lambda 0"
    problems.extend([idle if settings.kd_flags and settings.kd_lambda == 0 else None])
    return problems


def _path_problems(settings: DistillSettings) -> Problems:
    problems, out = Problems(), settings.out
    for name in FILES:
        path = getattr(settings, name)
        problems.unless(path is None or path.is_file(), f"{_flag(name)} {path}: no such file")
    for name in SHARDED:
        path = getattr(settings, name)
        problems.extend([path and shards_problem(f"--{name}", path)])
    problems.extend(_tokenizer_problems(settings))
    is_free = out is None or not out.exists() or out.is_dir()
    problems.unless(is_free, f"--out {out}: expected a folder, got a file")
    return problems


def _tokenizer_problems(settings: DistillSettings) -> Problems:
    problems, path = Problems(), settings.tokenizer
    if path is None:
        return problems
    problems.unless(
        settings.sentencepiece_model is None,
        "--tokenizer, --sentencepiece-model: expected one of them, got both",
    )
    is_model = path.is_file() and settings.keep_tokens is not None
    problems.unless(
        is_model or (path / ENCODING).is_file(),
        f"--tokenizer {path}: expected a folder of lightpaff convert, got no {ENCODING} in it",
    )
    return problems


def _start_problems(settings: DistillSettings) -> Problems:
    problems = Problems()
    if settings.init_file is None:
        return problems
    problems.unless(
        settings.init_file.is_file(),
        f"--init {settings.init}: expected {TEACHER}, {RANDOM} or a checkpoint, got no file",
    )
    sizes = (*SIZES, "encoder_layers", "decoder_layers")
    given = [_flag(x) for x in sizes if getattr(settings, x) is not None]
    problems.unless(not given, f"{', '.join(given)}: the checkpoint of --init sets the size")
    problems.unless(
        settings.text is None,
        "--text: fine-tuning starts from the checkpoint of --init, without pre-training",
    )
    return problems


def _size_problems(settings: DistillSettings) -> Problems:
    problems = Problems()
    given = [_flag(x) for x in SIZES if getattr(settings, x) is not None]
    problems.unless(len(given) <= 1, f"{', '.join(given)}: expected one of them")
    problems.unless(
        settings.arch is None or settings.encoder_layers is settings.decoder_layers is None,
        "--encoder-layers, --decoder-layers: no effect with --arch; write them into it",
    )
    if settings.params is not None:
        problems.unless(
            parameters(settings.params) is not None,
            f"--params {settings.params}: expected a number as 1200000, 800K or 1.2M",
        )
    return problems


def _words_problems(flag: str, words: str) -> list[str]:
    try:
        return [f"{flag}: {x}" for x in words_problems(shlex.split(words))]
    except ValueError as error:
        return [f"{flag}: {error}"]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
