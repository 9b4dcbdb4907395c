"""How a training was started and with what, for its own log."""

import json
import logging
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

LOGGER = "lightpaff_fairseq.provenance"  # `lightpaff report` looks for this name
PACKAGES = ("lightpaff-fairseq", "fairseq-fixed", "torch", "numpy")


def log_provenance() -> None:
    """One line in the log, as JSON: `command`, `versions` and `machine`."""
    logging.getLogger(LOGGER).info(json.dumps(provenance()))


def provenance() -> dict[str, object]:
    """The command line of this process, quoted for a shell, and the versions that run it."""
    program, *words = sys.argv
    found = {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "command": shlex.join([Path(program).name, *words]),
        "versions": {name: text for name, text in found.items() if text is not None},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def version(name: str) -> str | None:
    """Return the version of an installed distribution; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
