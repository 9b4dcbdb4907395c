"""`lightpaff`: the part of the plug-in that is not training."""

import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from . import (
    benchmark,
    cache_teacher,
    compact,
    convert,
    doctor,
    evaluate,
    export,
    flags,
    init_student,
    prune_plan,
    report,
    seq_kd,
    strip,
    user_dir,
)

COMMANDS = (
    *(user_dir, flags, init_student, prune_plan, compact, strip, evaluate, convert, export),
    *(cache_teacher, seq_kd, benchmark, doctor, report),
)
BAD_INPUT = 2  # argparse's own exit code for a wrong command line
REFUSED, INTERRUPTED = 1, 130  # the latter as a shell says it


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command with every sub-command; each sets `func`, `(args) -> int`."""
    parser = argparse.ArgumentParser(
        prog="lightpaff", description="Tools around knowledge distillation with fairseq."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one sub-command.

    Args:
        argv: the arguments after `lightpaff`; None takes those of the process.
    Returns:
        the exit code: 0; 2 after bad input, 1 where the system refused something (a full disk),
        130 after Ctrl-C: each is printed in one line without a traceback.
    """
    parser = build_parser()
    args, more = parser.parse_known_args(argv)
    if more and not getattr(args, "takes_more", False):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    args.fairseq_flags = more
    try:
        code: int = args.func(args)
        sys.stdout.flush()
        return code
    except ValueError as error:
        print(f"lightpaff {args.command}: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # `lightpaff flags | head`: what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except OSError as error:
        print(f"lightpaff {args.command}: error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print(f"lightpaff {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
