"""Empty, infinite, negative, huge and non-text values of every flag of every command and criterion.

Flags come from the parsers themselves, so a new one is tried without being listed. Each value is
either refused in words that name the flag, or documented: within the range that the flag declares,
or text, which may be anything but empty. No value ends in a traceback.
"""

import argparse
import dataclasses
import enum
import math
import re
from typing import get_args

import pytest
from fairseq import options
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.configs import GenerationConfig
from fairseq.dataclass.utils import convert_namespace_to_omegaconf, gen_parser_from_dataclass

import toy
from cases import CASES
from lightpaff_fairseq.cli.benchmark import LazyParser
from lightpaff_fairseq.cli.main import build_parser, main
from lightpaff_fairseq.criterions.config import DistillationConfig
from lightpaff_fairseq.criterions.config_checks import check_config
from lightpaff_fairseq.fairseq_flags import RANGES, words_problems
from lightpaff_fairseq.flags import EMPTY, TRAINING_PREFIXES
from lightpaff_fairseq.sequence_kd.seq_kd_request import SeqKdRequest, generation_problems
from lightpaff_fairseq.tasks.masked_seq2seq import MaskedSeq2SeqConfig, config_problems
from lightpaff_fairseq.tasks.pruning import PruningConfig, method_of

KIND = "odd values"
NUMBERS = ("", "nan", "inf", "-inf", "-3", "1e300", "1" + "0" * 40, "1e-300", "x", "\udcff")
TEXTS = ("", " ", "nan", "-3", "x" * 300, "\udcff", "/dev/null/x", "a b", "None", "%s", "{}")


def commands(parser):
    """Every parser without sub-commands below this one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                if isinstance(child, LazyParser):
                    child.complete()
                yield from commands(child)
            return
    yield parser


COMMANDS = {parser.prog.removeprefix("lightpaff "): parser for parser in commands(build_parser())}


def flags_of(parser):
    return [action for action in parser._actions if action.dest != "help" and action.nargs != 0]


def name_of(action):
    return action.option_strings[0] if action.option_strings else action.dest


# of distill, whose flags have no defaults
MAY_BE_EMPTY = ("train_flags", "pretrain_flags", "kd_flags", "launch")


def words(action, value):
    """The flag with a value: one that takes several gets it in every place."""
    count = action.nargs if isinstance(action.nargs, int) else 1
    prefix = [f"{name_of(action)}={value}"] if count == 1 and action.option_strings else None
    if prefix and action.nargs is None:
        return prefix  # a value may begin with a dash
    return [*action.option_strings[:1], *[value] * count]


def base(parser, tried, folder, stops):
    """Required flags, of files that do not exist, so that no command begins to work."""
    argv = ["--repeats", "0"] if tried.dest == "json" else []
    for action in flags_of(parser):
        if action is not tried and (action.required or (stops and action.dest == "json")):
            value = str(folder / action.dest)
            if takes_numbers(action):
                value = "9"
            elif action.choices:
                value = next(iter(action.choices))
            elif action.dest == "json":
                value = str(folder / "nowhere" / "x")
            elif action.dest in ("source", "target"):
                kinds = {"source": "hf", "target": "fairseq"}
                argv += [name_of(action), kinds[action.dest], value]
                continue
            if action.option_strings:
                argv += [action.option_strings[0], value]
            else:
                argv.insert(0, value)  # a flag of several values would take it
    return argv


def outcome(argv, capfd):
    """(exit code, the error line); any exception but argparse's exit fails the test."""
    try:
        code = main(argv)
    except SystemExit as error:
        code = error.code
    lines = capfd.readouterr().err.splitlines()
    return code, next((line for line in lines if ": error: " in line), "")


def takes_numbers(action):
    return action.type in (int, float)


@pytest.mark.parametrize("command", [x for x, parser in COMMANDS.items() if flags_of(parser)])
def test_commands(command, capfd, tmp_path, monkeypatch, tally):
    monkeypatch.chdir(tmp_path)
    parser = COMMANDS[command]
    for action in flags_of(parser):
        for value in NUMBERS if takes_numbers(action) else TEXTS:
            stops = value == "1e-300" or not takes_numbers(action)  # or the benchmark runs
            given, added = words(action, value), base(parser, action, tmp_path, stops)
            both = [*added, *given] if action.option_strings else [*given, *added]
            argv = [*command.split(), *both]
            code, line = outcome(argv, capfd)
            tally.add("refused")
            where = f"{' '.join(argv)!r}: {code} {line}"
            assert code in (1, 2) and line, where
            is_named = name_of(action) in line or str(action.metavar) in line
            odd = takes_numbers(action) or action.choices or not value.strip()
            is_optional = action.default == "" or action.dest in MAY_BE_EMPTY
            may_be_empty = is_optional and not value.strip()
            assert is_named or not odd or may_be_empty or in_range(parser, action, value), where
    tried = sum(len(NUMBERS if takes_numbers(a) else TEXTS) for a in flags_of(parser))
    assert tally.outcomes.total() == tried


def in_range(parser, action, value):
    """Only a very small number may be one that a flag takes."""
    return action.type is float and 0 <= float(value) < 1e-200 if re.match(r"\d", value) else False


def configured(config, name, value):
    """The configuration that fairseq's parser makes of one flag; SystemExit: it refuses."""
    parser = argparse.ArgumentParser(exit_on_error=True, allow_abbrev=False)
    gen_parser_from_dataclass(parser, config())
    flag = f"--{name.replace('_', '-')}"
    args = vars(parser.parse_args([f"{flag}={value}"]))
    known = {field.name: field.default for field in dataclasses.fields(config)}
    return argparse.Namespace(**{**known, name: args[name]})


def odd_fields(config):
    """(name, odd values) of every flag of a dataclass that takes a value."""
    for field in dataclasses.fields(config):
        kinds = {field.type, *get_args(field.type)}
        if bool in kinds or "help" not in field.metadata:
            continue
        yield field, NUMBERS if kinds & {int, float} else TEXTS


def check_all(config, check, of=lambda field: True):
    """Try every value of every flag of a dataclass; return how many were tried."""
    tried = 0
    for field, values in odd_fields(config):
        if not of(field):
            continue
        flag = f"--{field.name.replace('_', '-')}"
        is_text = values is TEXTS and not has_choices(field)
        for value in values:
            tried += 1
            try:
                cfg = configured(config, field.name, value)
            except SystemExit:
                continue  # argparse names the flag
            number = getattr(cfg, field.name)
            try:
                check(cfg)
            except ValueError as error:
                assert flag in str(error), (flag, value, error)
                continue
            expected = field.metadata.get("expected")
            documented = value.strip() if is_text else expected is not None and number in expected
            assert documented, (flag, value)
    return tried


def has_choices(field):
    return isinstance(field.type, type) and issubclass(field.type, enum.Enum)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_criterions(case, capsys, tally):
    config = CRITERION_DATACLASS_REGISTRY[case.name]
    tried = check_all(config, check_config, lambda field: field.name.startswith(TRAINING_PREFIXES))
    capsys.readouterr()
    tally.add("tried", count=tried)
    assert tried > 250
    numbers = [f for f, values in odd_fields(DistillationConfig) if values is NUMBERS]
    assert len(numbers) == 18 and all("expected" in f.metadata for f in numbers)


def test_label_smoothing_and_prefixes_of_stock_criterions(capsys):
    config = CRITERION_DATACLASS_REGISTRY["kd_ss"]
    for name, values in (
        ("label_smoothing", ("nan", "inf", "-0.1", "1", "1e300")),
        ("ignore_prefix_size", ("-1", "1" + "0" * 40)),
    ):
        for value in values:
            with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} .*: expected"):
                check_config(configured(config, name, value))


def test_prunable_tasks(capsys, tally):
    def check(cfg):
        if cfg.prune_target_width is None and cfg.prune_target_params is None:
            cfg.prune_target_width = 0.5
        cfg.max_update = 1000
        method_of(cfg)

    tally.add("tried", count=check_all(PruningConfig, check))
    assert tally.outcomes.total() > 80


def test_masked_seq2seq(capsys):
    own = {"tokens_per_sample", "mask_ratio", "mask_window", "mask_replace"}
    own |= {"max_source_positions", "max_target_positions"}

    def check(cfg):
        config_problems(cfg).raise_if_any()

    tried = 0
    for field, values in odd_fields(MaskedSeq2SeqConfig):
        if field.name not in own:
            continue
        for value in values:
            cfg = MaskedSeq2SeqConfig(data="x")
            try:
                kind = int if field.type is int else float if field.type is float else str
                setattr(cfg, field.name, kind(value))
            except ValueError:
                continue  # argparse names the flag
            tried += 1
            if values is NUMBERS and getattr(cfg, field.name) in field.metadata["expected"]:
                continue
            messages = config_problems(cfg).messages
            assert any(f"--{field.name.replace('_', '-')} " in x for x in messages), (field, value)
    assert tried > 20


def generation(flag, value):
    argv = ["/data", "--path", "x", "--task", "translation", f"{flag}={value}"]
    args = options.parse_args_and_arch(options.get_generation_parser(), argv)
    return convert_namespace_to_omegaconf(args)


NUMERIC = [
    field.name
    for field in dataclasses.fields(GenerationConfig)
    if {field.type, *get_args(field.type)} & {int, float}
]


def test_every_number_of_generation_has_a_range():
    assert set(NUMERIC) <= set(RANGES["generation"]) and len(NUMERIC) > 20


@pytest.mark.slow
@pytest.mark.parametrize("group", RANGES)
def test_flags_that_are_passed_on(group, capsys, tmp_path):
    request, tried = SeqKdRequest("x", tmp_path), 0
    for name, expected in RANGES[group].items():
        flag = f"--{name.replace('_', '-')}"
        for value in (*NUMBERS, "-1", "2"):
            tried += 1
            in_words = list(words_problems([flag, value])) + list(
                words_problems([f"{flag}={value}"])
            )
            try:
                cfg = generation(flag, value)
            except SystemExit:
                continue
            except (ValueError, OverflowError) as error:
                raise AssertionError((flag, value)) from error
            number = cfg[group][name]
            messages = generation_problems(cfg, request).messages
            named = any(x.startswith(f"{flag} ") for x in messages)
            assert number is None or named or number in expected, (flag, value, messages)
            assert number is None or (number in expected) == (not in_words), (flag, value)
    assert tried == 12 * len(RANGES[group])


@pytest.mark.parametrize(
    "argv,text",
    [
        (("--kd-schedule", "lambda:cosine,lambda:linear_decay"), "lambda has two schedules"),
        (("--kd-schedule", ""), EMPTY),
        (("--kd-layer-map", ""), EMPTY),
        (("--kd-modules", " "), EMPTY),
        (("--kd-relation", "query,query"), "each once"),
        (("--kd-temperature", "1e-300"), "--kd-temperature 1e-300: expected a number above 0"),
        (("--kd-temperature", "1e-30"), "from 0.001 to 1000"),
        (("--kd-temperature", "1e30"), "up to 1000"),
    ],
    ids=str,
)
def test_values_that_changed_their_meaning(argv, text, tmp_path):
    case = CASES[-1]
    cfg = toy.parse(
        *case.argv(case.data(tmp_path), "--criterion", "kd_ss", "--max-tokens", 99),
        *argv,
        "--kd-schedule-updates",
        9,
    )
    from fairseq import tasks

    with pytest.raises(ValueError) as caught:
        tasks.setup_task(cfg.task).build_criterion(cfg.criterion)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "words,text",
    [
        ("--lenpen nan", "--lenpen nan: expected"),
        ("--sampling-topp 2", "--sampling-topp 2: expected a number above 0, up to 1, or -1"),
        ("--sampling-topk -3", "--sampling-topk -3: expected 1 or more, or -1 (off)"),
        ("--prefix-size -1", "--prefix-size -1: expected 0 or more"),
    ],
)
def test_generation_flags(words, text, tmp_path):
    flag, value = words.split()
    messages = generation_problems(generation(flag, value), SeqKdRequest("x", tmp_path)).messages
    assert any(text.replace("2:", "2.0:") in x or text in x for x in messages), messages
    assert any(text in x for x in words_problems(words.split()))


def test_two_equal_languages(capfd):
    argv = ["convert", "--from", "hf", "a", "--to", "fairseq", "b", "--langs", "a", "a"]
    code, line = outcome(argv, capfd)
    assert code == 2 and "--langs a a: expected two different languages" in line
    assert math.isfinite(code)
