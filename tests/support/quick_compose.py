"""Compose fairseq's configuration from a stored template: seven times as fast as hydra.

hydra parses 250 overrides and merges all groups for every command line, which was a third of the
time of all tests. Here each choice of groups (`task=translation`, ...) is composed by hydra once,
and the other overrides are applied to a copy by hydra's own function.
tests/unit/test_quick_compose.py compares the results.
"""

import copy
from functools import cache

import fairseq.dataclass.utils as fairseq_utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

hydra_compose = fairseq_utils.compose
TEMPLATES = {}
PARSER = OverridesParser.create()
parse = cache(PARSER.parse_override)


def compose(name, overrides, strict):
    """Return the configuration; whatever hydra refuses is left to hydra."""
    groups = tuple(x for x in overrides if "." not in x.partition("=")[0])
    try:
        if groups not in TEMPLATES:
            TEMPLATES[groups] = hydra_compose(name, overrides=list(groups), strict=True)
        config = copy.deepcopy(TEMPLATES[groups])
        values = [parse(x) for x in overrides if x not in groups]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        OmegaConf.set_struct(config, strict)
    except Exception:  # hydra reports the error, as without this shortcut
        return hydra_compose(name, overrides=overrides, strict=strict)
    return config


def install():
    """Use it for all command lines that are parsed in this process."""
    fairseq_utils.compose = compose
