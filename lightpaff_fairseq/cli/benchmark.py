"""`lightpaff benchmark`: benchmark speed and memory on this machine."""

import argparse
import importlib
from typing import Any

# Kind -> its help. Its module in this folder (`step` is benchmark_step.py) offers
# `configure(parser)` and `run(args) -> int`.
KINDS = {
    "loss": "the fused loss, the dense loss, and their matrix products alone",
    "step": "a training update with distillation, a plain update, and the teacher alone",
    "cache": "building and reading a teacher cache",
    "inference": "teacher and student in fairseq, CTranslate2 and ONNX Runtime",
}


class LazyParser(argparse.ArgumentParser):
    """A parser that imports the module of its kind, and adds the flags, when it is used."""

    def complete(self) -> None:
        """Add the flags, unless they are there."""
        if self.get_default("func") is None:
            kind = self.prog.split()[-1]
            importlib.import_module(f"{__package__}.benchmark_{kind}").configure(self)

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        self.complete()
        return super().parse_known_args(*args, **kwargs)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of benchmarks to the parser of the sub-command."""
    kinds = parser.add_subparsers(
        metavar="WHAT", dest="what", required=True, parser_class=LazyParser
    )
    for name, summary in KINDS.items():
        kinds.add_parser(name, help=summary)


def run(args: argparse.Namespace) -> int:
    """Run one benchmark."""
    code: int = args.func(args)
    return code
