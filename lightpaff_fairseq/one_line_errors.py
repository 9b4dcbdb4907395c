"""End a command of fairseq with one line, not a traceback, where this plug-in refuses input."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.multiprocessing.spawn import ProcessExitedException

from .problems import reason_of

BAD_INPUT = 2  # argparse's exit code for a wrong command line
PACKAGE = __name__.split(".")[0]
logger = logging.getLogger(__name__)


def call_with_one_line_errors(call_main: Any, cfg: Any, main: Any, **kwargs: Any) -> None:
    """Call fairseq's `call_main`; print an error of this plug-in in one line, and exit with code 2.

    fairseq prints a traceback below its configuration and the model. Errors of fairseq, and all
    that are no ValueError, keep theirs; `LOGLEVEL=DEBUG` shows every traceback.
    `fairseq-hydra-train` is not changed, unless the plug-in is in its search path.
    """
    with one_line_errors():
        try:
            call_main(cfg, _MainOfProcess(main), **kwargs)
        except ProcessExitedException as error:  # a process per GPU: it has printed the line
            if error.exit_code != BAD_INPUT:
                raise
            sys.exit(BAD_INPUT)


class _MainOfProcess:
    """fairseq's main function, for one of several processes; can be pickled."""

    def __init__(self, main: Any) -> None:
        self.main = main
        self.__module__ = main.__module__  # by which commands are told apart

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        with one_line_errors():
            self.main(*args, **kwargs)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print a ValueError that this package raised in one line, and exit.

    Raises:
        SystemExit: with code 2, in place of such an error.
    """
    try:
        yield
    except ValueError as error:
        if not is_own(error):
            raise
        logger.debug("the error below was raised here:", exc_info=True)
        sys.stdout.flush()
        print(f"{Path(sys.argv[0]).name}: error: {reason_of(error)}", file=sys.stderr, flush=True)
        sys.exit(BAD_INPUT)


def is_own(error: BaseException) -> bool:
    """Return true if code of this package raised an exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals["__name__"]).startswith(PACKAGE)
