"""Turn a command of fairseq-train into a YAML file for fairseq-hydra-train."""

import shlex
import warnings
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fairseq.models as models
import yaml
from fairseq import options, tasks
from fairseq.dataclass.configs import FairseqConfig
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.registry import REGISTRIES
from omegaconf import OmegaConf

from ..data_shards import absolute_shards
from ..flags import flag
from ..output_file import file_problem, write_text
from ..problems import Problems
from .training_run import COMMAND, PLUGIN

SUFFIX = ".yaml"
PATHS = frozenset(  # keys whose values are files or folders: hydra changes the working directory
    "user_dir data log_file tensorboard_logdir restore_file finetune_from_model continue_once "
    "kd_teacher kd_teacher_data kd_cache encoder_embed_path decoder_embed_path".split()
)
# Values of the task that a model without a dataclass reads from the flags of the whole command.
LENGTHS = ("max_source_positions", "max_target_positions", "max_positions", "tokens_per_sample")
Values = dict[str, Any]


@dataclass(frozen=True)
class HydraRequest:
    """Flags of `lightpaff hydra-config` itself."""

    out: Path = flag(f"file to write, NAME{SUFFIX}", metavar="FILE")
    force: bool = flag("overwrite --out (default: refuse)", default=False)

    def problems(self) -> Problems:
        """Return the problems with the file."""
        problems = Problems([file_problem(self.out, "--out", self.force)])
        problems.unless(
            self.out.suffix == SUFFIX, f"--out {self.out}: expected a name that ends in {SUFFIX}"
        )
        return problems


def write_hydra_config(request: HydraRequest, words: Sequence[str]) -> None:
    """Write the YAML file of a command.

    Args:
        words: the arguments of fairseq-train; its name may stand in front of them.
    Raises:
        ValueError: --out cannot be written, or hydra cannot express the command.
        SystemExit: fairseq-train does not know a flag.
    """
    words = words[1:] if words and Path(words[0]).name == COMMAND else words
    problems = request.problems()
    problems.unless(bool(words), f"DATA: expected the arguments of {COMMAND}, got none")
    problems.raise_if_any()
    write_text(request.out, hydra_config(words, request.out), "--out")


def hydra_config(words: Sequence[str], path: Path) -> str:
    """Return a YAML file that makes fairseq-hydra-train train as fairseq-train with these words.

    Args:
        path: of the file, for the command in its first line.
    Raises:
        ValueError, SystemExit: see `write_hydra_config`.
    """
    args = _parse(words)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # hydra's, about fairseq
        cfg = convert_namespace_to_omegaconf(args)
    legacy = ("task", "criterion", "optimizer", "lr_scheduler")
    Problems(
        f"--{name.replace('_', '-')} {cfg[name]._name}: expected one that has a dataclass, since "
        "hydra cannot configure others"
        for name in legacy
        if isinstance(cfg[name], Namespace)
    ).raise_if_any()
    lines = [
        f"# {train_command(path)}",
        "# Sweep: the same with -m criterion.kd_lambda=0.5,1",
        _hydra_section(Path(args.save_dir).absolute()),
    ]
    for section, kind in FairseqConfig.__dataclass_fields__.items():
        if kind.type is Any:
            lines += _group(section, cfg, words)
        elif section != "_name" and (values := _changed(section, cfg)):
            lines.append(_dump({section: _absolute(values)}))
    return "\n".join(lines)


def train_command(path: Path) -> str:
    """Return the command that trains by a file."""
    folder, name = str(path.absolute().parent), path.stem
    return shlex.join(("fairseq-hydra-train", "--config-dir", folder, "--config-name", name))


def _parse(words: Sequence[str]) -> Namespace:
    """Parse a command, with this plug-in where it has none."""
    known = ArgumentParser(add_help=False, allow_abbrev=False)
    known.add_argument("--user-dir")
    given = known.parse_known_args(words)[0].user_dir
    added = [] if given else ["--user-dir", str(PLUGIN)]
    args: Namespace = options.parse_args_and_arch(options.get_training_parser(), [*words, *added])
    return args


def _hydra_section(save_dir: Path) -> str:
    """Return where a run and the jobs of a sweep write, and how the plug-in becomes known."""
    changed = "${hydra.job.override_dirname}"  # nothing, or as criterion.kd_lambda=0.5
    values = {
        "searchpath": ["pkg://lightpaff_fairseq"],
        "job": {"chdir": True},
        "run": {"dir": f"{save_dir}/{changed}"},
        "sweep": {"dir": str(save_dir), "subdir": changed},
    }
    return _dump({"hydra": values})


def _changed(section: str, cfg: Any) -> Values:
    """Return the values of a section that are not fairseq's defaults."""
    stock = _defaults(FairseqConfig.__dataclass_fields__[section].type)
    values = {k: v for k, v in cfg[section].items() if v != _resolved(stock.get(k), cfg)}
    if section == "checkpoint":
        values["save_dir"] = "."
    return _plain(values)


def _group(section: str, cfg: Any, words: Sequence[str]) -> Iterator[str]:
    """Yield the YAML of a section whose keys depend on its name, as `task` and `criterion`.

    All of its keys are there, those without the flag below a comment: hydra changes what a file
    has, and needs a plus for the rest. Of a model they are those that were given: an architecture
    computes the others from them.
    """
    node = cfg[section]
    if node is None:
        return
    if isinstance(node, str):  # one without keys
        yield _dump({section: node})
        return
    if section == "model":
        yield _dump({section: _absolute(_model(cfg, words))})
        return
    stock = _defaults(_dataclass(section, node._name))
    given: Values = {"_name": node._name}
    given |= {k: v for k, v in node.items() if v != _resolved(stock.get(k), cfg)}
    yield _dump({section: _absolute(_plain(given))})
    rest = {k: v for k, v in stock.items() if k not in given}
    if rest:
        text = _dump({section: rest}).split("\n", 1)[1]
        yield f"  # defaults\n{text}"


def _model(cfg: Any, words: Sequence[str]) -> Values:
    """Return the model section: the architecture, and what was given for it."""
    parser = options.get_training_parser()
    given = vars(options.parse_args_and_arch(parser, list(words), suppress_defaults=True))
    arch = given["arch"]  # as given: a preset renames itself
    if isinstance(cfg.model, Namespace):
        own = ArgumentParser(add_help=False, argument_default=SUPPRESS)  # as fairseq's
        models.ARCH_MODEL_REGISTRY[arch].add_args(own)
        names = {action.dest: action.default for action in own._actions}
        values = {name: value for name, value in given.items() if name in names}
        values |= {
            name: value
            for name, value in names.items()
            if name not in values and value not in (None, SUPPRESS)
        }
        values |= {
            name: f"${{task.{name}}}"
            for name in LENGTHS
            if name in cfg.task and (name in values or name not in names)
        }
        return {"_name": arch, **values}
    # hydra does not compute the values of an architecture that has a dataclass
    stock = _defaults(_dataclass("model", models.ARCH_MODEL_NAME_REGISTRY[arch]))
    differ = {k: v for k, v in cfg.model.items() if v != _resolved(stock.get(k), cfg)}
    return _plain({"_name": cfg.model._name, **differ})


def _dataclass(section: str, name: str) -> Any:
    if section == "task":
        return tasks.TASK_DATACLASS_REGISTRY[name]
    if section == "model":
        return models.MODEL_DATACLASS_REGISTRY[name]
    return REGISTRIES[section]["dataclass_registry"].get(name)


def _defaults(dataclass_: Any) -> Values:
    """Return the defaults of a dataclass; references to other values stay text, as `${...}`."""
    if dataclass_ is None:
        return {}
    values: Any = OmegaConf.to_container(OmegaConf.structured(dataclass_), enum_to_str=True)
    return {k: v for k, v in values.items() if k != "_name"}


def _resolved(default: Any, cfg: Any) -> Any:
    """Return a default, or what it refers to."""
    if isinstance(default, str) and default.startswith("${"):
        return OmegaConf.select(cfg, default[2:-1])
    return default


def _plain(values: Values) -> Values:
    plain: Any = OmegaConf.to_container(OmegaConf.create(values), enum_to_str=True)
    return dict(plain)


def _absolute(values: Values) -> Values:
    """Return values with absolute paths; several are separated by colons."""
    return {
        key: absolute_shards(value) if key in PATHS and isinstance(value, str) else value
        for key, value in values.items()
    }


def _dump(values: Values) -> str:
    return str(yaml.safe_dump(values, sort_keys=False, width=100)).rstrip("\n")
