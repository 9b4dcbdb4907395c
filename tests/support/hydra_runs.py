"""Run fairseq-hydra-train in this process, and compose its configuration as it does."""

import logging
import sys
from argparse import ArgumentParser, Namespace
from unittest import mock

from fairseq.dataclass.initialize import add_defaults, hydra_init
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq_cli import hydra_train
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf, open_dict


def run(*words):
    """Train; hydra's handlers of the log end with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with mock.patch.object(sys, "argv", ["fairseq-hydra-train", *map(str, words)]):
            hydra_train.cli_main()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def composed(path, *overrides):
    """The configuration that fairseq-hydra-train makes of a file, without hydra's own section."""
    hydra_init(path.stem)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(path.parent), version_base="1.1"):
        cfg = compose(path.stem, list(overrides))
    add_defaults(cfg)
    return OmegaConf.create(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))


def differences(cfg, of_words, arch):
    """`section.key` of all values that differ from those of fairseq-train's configuration."""
    cfg = cfg.copy()
    sections = {name for name, values in of_words.items() if values is not None}
    names = {name: set(of_words[name]) for name in sections - {"model"}}
    if isinstance(of_words.model, Namespace):
        parser = ArgumentParser(add_help=False)
        ARCH_MODEL_REGISTRY[arch].add_args(parser)
        names["model"] = {action.dest for action in parser._actions if action.dest != "help"}
        with open_dict(cfg):
            ARCH_CONFIG_REGISTRY[arch](cfg.model)
    else:
        names["model"] = set(of_words.model)
    return {
        f"{section}.{key}"
        for section, keys in names.items()
        for key in keys
        if cfg[section].get(key) != getattr(of_words[section], key, None)
    }
