"""Create the pinned virtual environment for scripts/setup.sh from a bare Python.

Standard library only. An environment is complete when its stamp holds the fingerprint of its
inputs; the stamp is removed first and written last, so the next run continues an interrupted one.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = "scripts/constraints.txt"  # relative to ROOT: pip splits its variables at blanks
BUILD_CONSTRAINTS = "scripts/build_constraints.txt"
INPUTS = (
    *("setup.py", "pyproject.toml", CONSTRAINTS, BUILD_CONSTRAINTS),
    "scripts/make_environment.py",
)
SHOWN_LINES = 30
CHECK = """
import os, subprocess, sys
subprocess.run([sys.executable, "-m", "pip", "check"], check=True)
import torch, fairseq, fastBPE, sentencepiece, sacrebleu, lightpaff_fairseq
import fairseq.data.data_utils_fast, fairseq.data.token_block_utils_fast
folder = subprocess.check_output([sys.argv[1], "user-dir"], text=True).strip()
assert os.path.isdir(folder), folder
"""


class SetupError(Exception):
    """A failure with a message for the user."""


def say(text: str) -> None:
    """Print one line of progress, unbuffered."""
    print(f"[setup] {text}", flush=True)


def fingerprint(venv: Path) -> str:
    """Return the SHA-256 of the files that decide what is installed, and of both folders."""
    digest = hashlib.sha256(f"{ROOT}\n{venv}\n".encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def check_compiler(python: str) -> None:
    """Check for what building fairseq and fastBPE from source needs.

    Raises:
        SetupError: no C++ compiler, or no Python headers.
    """
    compiler = os.environ.get("CXX", "").split()[:1] or ["c++", "g++", "clang++"]
    if not any(shutil.which(name) for name in compiler):
        raise SetupError(
            f"no C++ compiler (tried {', '.join(compiler)}): fairseq and fastBPE are built "
            "from source (Debian, Ubuntu: apt install g++)"
        )
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    include = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    header = Path(include.stdout.strip()) / "Python.h"
    if not header.exists():
        raise SetupError(f"{header} is missing (Debian, Ubuntu: apt install python3-dev)")


def pip_constraints(path: str) -> dict[str, str]:
    """Return pip's variables: 25.3+ reads the second for isolated builds, older ones the first."""
    return {"PIP_CONSTRAINT": path, "PIP_BUILD_CONSTRAINT": path}


class Environment:
    """The virtual environment being created.

    Attributes:
        folder: its path.
        log: everything that venv and pip print.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.log = folder / "setup.log"
        self.stamp = folder / ".lightpaff-setup"
        self.variables = {
            **os.environ,
            **pip_constraints(CONSTRAINTS),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_REQUIRE_VIRTUALENV": "0",
        }
        # With CUDA_HOME fairseq's build looks for nvcc; PYTHONPATH would hide what is missing.
        for name in ("CUDA_HOME", "PYTHONPATH", "PYTHONHOME"):
            self.variables.pop(name, None)

    def complete(self, expected: str) -> bool:
        """Return whether the stamp says that the set-up finished for these inputs."""
        return (
            self.python.exists()
            and self.stamp.exists()
            and self.stamp.read_text().strip() == expected
        )

    def check_folder(self) -> None:
        """Refuse a folder that is no virtual environment: creating one would empty it.

        Raises:
            SetupError: it is something else.
        """
        usable = not self.folder.exists() or (self.folder / "pyvenv.cfg").exists()
        empty = self.folder.is_dir() and not any(self.folder.iterdir())
        if not (usable or empty):
            raise SetupError(
                f"VENV={self.folder} exists and is no virtual environment: choose another folder"
            )

    def create(self, python: str) -> None:
        """Create the bare environment, or keep a working one.

        Raises:
            SetupError: venv fails.
        """
        if self.python.exists() and self.run("-m", "pip", "--version").returncode == 0:
            say(f"1/6 continuing in {self.folder}")
            return
        say(f"1/6 virtual environment in {self.folder}")
        created = subprocess.run([python, "-m", "venv", "--clear", str(self.folder)])
        if created.returncode:
            raise SetupError(f"{python} -m venv failed (Debian, Ubuntu: apt install python3-venv)")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python in ROOT and return the completed process with its output."""
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=ROOT,
            env=self.variables,
            capture_output=True,
            text=True,
        )

    def step(self, title: str, *arguments: str, constraints: str = CONSTRAINTS) -> None:
        """Run the environment's Python with its output in the log.

        Args:
            constraints: for pip.
        Raises:
            SetupError: it failed; the text holds the end of the log.
        """
        say(title)
        start = time.monotonic()
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n== {title}\n$ python {' '.join(arguments)}\n")
            log.flush()
            command = [str(self.python), *arguments]
            variables = {**self.variables, **pip_constraints(constraints)}
            done = subprocess.run(
                command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT
            )
        if done.returncode:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise SetupError(
                "\n".join(lines[-SHOWN_LINES:])
                + f"\n[setup] the step above failed; the whole log is {self.log}"
                + "\n[setup] run the same command again to continue"
            )
        say(f"    done in {time.monotonic() - start:.0f} s")

    def announce_torch(self) -> None:
        """Print which torch pip would take, before anything large is downloaded.

        Raises:
            SetupError: pip finds none for this Python.
        """
        dry_run = self.run(
            *("-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"),
            *("--report", "-", "torch"),
        )
        if dry_run.returncode:
            raise SetupError(f"{dry_run.stderr}\npip finds no torch: try PYTHON=python3.11")
        metadata = json.loads(dry_run.stdout)["install"][0]["metadata"]
        needs = metadata.get("requires_dist", [])
        cuda = any(name.startswith(("nvidia-", "cuda-", "triton")) for name in needs)
        kind = "with CUDA: gigabytes; scripts/setup.sh says how to avoid it" if cuda else "no CUDA"
        say(f"    torch {metadata['version']} ({kind})")


def install(environment: Environment) -> None:
    """Fill the bare environment and check that it works.

    Raises:
        SetupError: a step failed.
    """
    pip = ("-m", "pip", "install", "--progress-bar", "off")
    environment.log.write_text("", encoding="utf-8")
    environment.step("2/6 build tools (seconds)", *pip, "setuptools", "wheel", "cython")
    environment.announce_torch()
    environment.step(
        "3/6 fairseq (3-4 minutes, seconds if it is in pip's cache)",
        *(*pip, "--no-deps", "fairseq-fixed"),
        constraints=BUILD_CONSTRAINTS,
    )
    environment.step(
        "4/6 torch, tools, this project (1-2 minutes)",
        *(*pip, "--editable", ".[dev,docs,rouge,plots,hf,ctranslate2,shortlist,onnx,triton]"),
    )
    # Its sdist holds C++ of an old Cython, which fails in an isolated build.
    environment.step(
        "5/6 fastBPE (half a minute)", *pip, "--no-build-isolation", "--editable", ".[fastbpe]"
    )
    command = str(environment.folder / "bin" / "lightpaff")
    environment.step("6/6 importing what was installed (seconds)", "-c", CHECK, command)


def main() -> int:
    """Parse the command line and create the environment; return 1 on error, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="the bare Python to start from")
    parser.add_argument("--venv", required=True, type=Path, help="folder of the environment")
    args = parser.parse_args()
    environment = Environment(Path(os.path.abspath(args.venv)))
    expected = fingerprint(environment.folder)
    if environment.complete(expected):
        say(f"{environment.folder} is up to date, nothing to do")
        return 0
    try:
        check_compiler(sys.executable)
        environment.check_folder()
        environment.stamp.unlink(missing_ok=True)
        say(f"making {environment.folder}: 2-8 minutes, 2 GB (gigabytes more if torch has CUDA)")
        environment.create(args.python)
        install(environment)
    except SetupError as error:
        print(f"[setup] error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("[setup] interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    temporary = environment.stamp.with_suffix(".tmp")
    temporary.write_text(expected + "\n", encoding="utf-8")
    temporary.replace(environment.stamp)
    say(f"ready in {environment.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
