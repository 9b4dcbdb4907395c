"""The `lightpaff` command. A sub-command's module is imported only when it is used."""

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence

from .. import __version__
from ..disk_errors import disk_error

# Sub-command -> its help. Its module in this folder has the same name (`init-student` is
# init_student.py) and offers `configure(parser)` and `run(args) -> int`.
COMMANDS = {
    "distill": "distill a teacher into a served student: all steps by one command",
    "user-dir": "print the folder to pass to fairseq's --user-dir",
    "flags": "print all flags and architectures as Markdown",
    "doctor": "check this installation",
    "subwords": "train SentencePiece for fairseq, and encode text",
    "train": "run fairseq-train with this plug-in, and show its progress",
    "hydra-config": "turn a command of fairseq-train into a file for fairseq-hydra-train",
    "init-student": "initialize a student from its teacher's weights",
    "prune-plan": "show the sizes that a model would have after pruning",
    "trim-vocab": "cut the tokens that a task never sees out of a model",
    "compact": "turn a pruned checkpoint into a small stock model",
    "strip": "write a small checkpoint that stock fairseq loads",
    "evaluate": "compare checkpoints: quality, parameters, file size, speed",
    "convert": "convert models between fairseq and Hugging Face, and import released MASS models",
    "export": "export a checkpoint to CTranslate2, ONNX Runtime or transformers",
    "cache-teacher": "store a teacher's outputs for training without the teacher",
    "vocabulary-map": "prepare a teacher with another vocabulary for training",
    "merge-caches": "join the shards of a teacher cache",
    "augment": "write copies of training sentences with other words",
    "seq-kd": "write training data whose targets are a teacher's translations",
    "benchmark": "measure speed and memory on this machine",
    "report": "summarize training runs and results in one HTML page",
}
BAD_INPUT = 2  # argparse's own exit code for a wrong command line
REFUSED, INTERRUPTED = 1, 130  # 130: the shell's exit code after Ctrl-C


def build_parser(configured: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Build the parser of `lightpaff`.

    Args:
        configured: the sub-commands whose modules are imported to add their flags.
    """
    parser = argparse.ArgumentParser(
        prog="lightpaff", description="Tools around knowledge distillation with fairseq."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary)
        if name in configured:
            module = importlib.import_module(f"{__package__}.{name.replace('-', '_')}")
            module.configure(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; print errors in one line without a traceback.

    Args:
        argv: the arguments after `lightpaff`; None: those of the process.
    Returns:
        the exit code: 0, 2 after bad input, 1 after an error of the system (such as a full disk),
        130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(words[:1])
    args, more = parser.parse_known_args(words)
    if more and not getattr(args, "takes_more", False):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    args.fairseq_flags = more
    try:
        code: int = args.func(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `lightpaff flags | head`: discard the rest of the buffer
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except KeyboardInterrupt:
        print(f"lightpaff {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _report(args.command, error)


def _report(command: str, error: Exception) -> int:
    """Print one line for an error that a user can mend; raise any other again."""
    refused = disk_error(error) or (str(error) if isinstance(error, OSError) else None)
    if isinstance(error, ValueError):
        message = str(error)  # names the flag, also of a full disk
    elif refused is not None:
        message = refused
    else:
        raise error
    print(f"lightpaff {command}: error: {message}", file=sys.stderr)
    return REFUSED if refused else BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
