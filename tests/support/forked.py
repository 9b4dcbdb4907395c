"""Run this package's and fairseq's commands in forks of the test process.

A new Python takes four CPU seconds to import PyTorch and fairseq; a fork has them. Standard
streams, environment, signals, exit codes and inherited file descriptors are those of a process
of its own. Other programs start as usual, and so does everything on a machine with a GPU, since
CUDA does not survive a fork.
"""

import gc
import logging
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fairseq_cli.train
import torch
from fairseq import checkpoint_utils
from fairseq.logging import metrics

from lightpaff_fairseq.cli.main import main as lightpaff

MODULES = ("fairseq_cli.", "lightpaff_fairseq.")
LOG = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"  # of fairseq_cli.train


def entry_of(words: list[str]) -> Callable[[], Any] | None:
    """Return the function that is the command, or None for any other program."""
    name, rest = Path(words[0]).name, words[1:]
    if name == "lightpaff":
        return lambda: lightpaff(rest)
    if name == "fairseq-train":
        return train
    if words[0] == sys.executable and rest[:1] == ["-m"] and rest[1].startswith(MODULES):
        return lambda: runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    return None


def train() -> None:
    """Run fairseq-train, whose module sets up the log when it is imported."""
    logging.basicConfig(format=LOG, level=logging.INFO, stream=sys.stdout)
    fairseq_cli.train.cli_main()


class ForkingPopen(subprocess.Popen):
    """Popen whose child is a fork that calls the command's function."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more):
        words = [os.fspath(x) for x in args] if isinstance(args, list | tuple) else []
        entry = entry_of(words) if words and preexec_fn is None else None
        if entry is None or torch.cuda.is_available():
            first = (args, executable, preexec_fn, close_fds, pass_fds, cwd, env)
            return super()._execute_child(*first, *more)
        p2cread, _, _, c2pwrite, _, errwrite = more[3:9]
        self._child_created = True
        self.pid = os.fork()
        if self.pid == 0:
            be_child(words, entry, (p2cread, c2pwrite, errwrite), pass_fds, (cwd, env))
        self._close_pipe_fds(*more[3:9])
        return None


def be_child(words, entry, streams, pass_fds, place):
    """Become the process of a command; never return."""
    code = 1
    gc.freeze()  # a CTranslate2 model of the parent, freed here, waits for threads in vain
    try:
        set_up(words, streams, pass_fds, place)
        try:
            value = entry()
            code = value if isinstance(value, int) else 0
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
            if isinstance(stopped.code, str):
                print(stopped.code, file=sys.stderr)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def set_up(words, streams, pass_fds, place):
    """Take over file descriptors, signals, environment and what fairseq stores in modules."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    take_files(streams, pass_fds)
    cwd, env = place
    if cwd is not None:
        os.chdir(cwd)
    if env is not None:
        os.environ.clear()
        os.environ.update({os.fsdecode(k): os.fsdecode(v) for k, v in env.items()})
    sys.argv = list(words)
    if words[0] == sys.executable:
        sys.argv = words[2:]  # without `-m`
    for logger in (logging.getLogger(), *logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
    logging.getLogger().setLevel(logging.WARNING)
    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)
    metrics.reset()


def take_files(streams, pass_fds):
    """Take over standard streams and inherited descriptors; let go of all others."""
    for fd, source in enumerate([os.dup(x) if x >= 0 else fd for fd, x in enumerate(streams)]):
        os.dup2(source, fd)
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # the listing's own is closed
            if name > 2 and name not in {nothing, *pass_fds}:
                os.fstat(name)
                os.dup2(nothing, name)  # a later close() must not hit another file
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(fd, mode, 1, "utf-8", "surrogateescape", closefd=False)
        for fd, mode in enumerate("rww")
    )
