"""`lightpaff benchmark`: speed and memory on this machine. A kind is imported only when used."""

import argparse
import importlib
from typing import Any

# Kind -> its help. Its module in this folder (`step` is benchmark_step.py) offers
# `configure(parser)` and `run(args) -> int`.
KINDS = {
    "loss": "the fused loss, the dense one, and their matrix products alone",
    "step": "a training update with distillation, a plain one, and the teacher alone",
    "cache": "building and reading a teacher's cache",
    "inference": "teacher and student in fairseq, CTranslate2 and ONNX Runtime",
}


class LazyParser(argparse.ArgumentParser):
    """Import a kind's module and add its flags when its command line is parsed."""

    def complete(self) -> None:
        """Add the flags, unless they are there."""
        if self.get_default("func") is None:
            kind = self.prog.split()[-1]
            importlib.import_module(f"{__package__}.benchmark_{kind}").configure(self)

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        """Parse with the flags of the kind."""
        self.complete()
        return super().parse_known_args(*args, **kwargs)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of measurements to the parser of the sub-command."""
    kinds = parser.add_subparsers(
        metavar="WHAT", dest="what", required=True, parser_class=LazyParser
    )
    for name, summary in KINDS.items():
        kinds.add_parser(name, help=summary)


def run(args: argparse.Namespace) -> int:
    """Run one kind of measurement."""
    code: int = args.func(args)
    return code
