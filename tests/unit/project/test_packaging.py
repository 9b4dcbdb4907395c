"""What pip installs: declared dependencies; the contents of sdist and wheel; a fresh install."""

import ast
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "lightpaff_fairseq"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {  # where the names of module and distribution differ
    "fairseq": "fairseq-fixed",
    "fairseq_cli": "fairseq-fixed",
    "hydra": "hydra-core",
    "sklearn": "scikit-learn",
    "thot": "sil-thot",
    "yaml": "pyyaml",
}
NOT_DECLARED = {"apex", "xformers", "torch_xla"}  # used where they are installed


def declared():
    """Names of all distributions that pyproject.toml asks for, extras included."""
    extras = PROJECT["optional-dependencies"].values()
    requirements = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return {line.split(">")[0].split("[")[0].lower() for line in requirements}


def imported():
    """Top-level names of everything that the package imports."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield (node.module or "").partition(".")[0]


def test_every_import_is_declared():
    foreign = set(imported()) - sys.stdlib_module_names - NOT_DECLARED - {"lightpaff_fairseq"}
    assert foreign >= {"fairseq", "torch", "numpy", "scipy", "sklearn"}
    names = {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in foreign}
    assert names <= declared()


def run(*command, cwd):
    """Standard output of a command without this process's PYTHONPATH."""
    variables = {"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def build(kind, source, out):
    """A distribution of the tree `source`, made by setuptools from this environment."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    out.mkdir(exist_ok=True)
    run(sys.executable, "-c", code, out, cwd=source)
    (path,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return path


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """(sdist, the wheel that is built from it)."""
    folder = tmp_path_factory.mktemp("packaging")
    ignore = shutil.ignore_patterns(".*", "outputs", "build", "dist", "site", "*.egg-info")
    shutil.copytree(ROOT, folder / "tree", ignore=ignore)
    sdist = build("sdist", folder / "tree", folder / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    return sdist, build("wheel", source, folder / "dist")


@pytest.mark.slow
def test_sdist_and_wheel_hold_the_package_and_nothing_else(distributions):
    sdist, wheel = distributions
    package = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".j2", ".typed")
    }
    assert {"lightpaff_fairseq/py.typed", "lightpaff_fairseq/report/page.html.j2"} <= package
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (license_file,) = (n for n in archive.namelist() if n.endswith("licenses/LICENSE"))
        (metadata,) = (n for n in archive.namelist() if n.endswith("METADATA"))
        text = archive.read(metadata).decode()
    assert names == package and license_file
    assert "License-Expression: MIT" in text and "# lightpaff_fairseq" in text  # the README
    with tarfile.open(sdist) as archive:
        files = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    assert package | {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= files
    assert not [name for name in files if name.startswith("tests/")]


@pytest.mark.slow
def test_an_installed_wheel_works(distributions, tmp_path):
    """In a new environment that sees this one's packages, but not its editable install."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python, command = venv / "bin" / "python", venv / "bin" / "lightpaff"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-deps", distributions[1], cwd=tmp_path)
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "rest.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")  # after its own

    assert run(command, "--version", cwd=tmp_path).split()[-1] == "0.2.0"
    folder = Path(run(command, "user-dir", cwd=tmp_path))
    assert folder == site / "lightpaff_fairseq"
    code = (
        "import lightpaff_fairseq; print(lightpaff_fairseq.__file__); "
        "from fairseq.criterions import CRITERION_REGISTRY as r; print(r['kd_ss'].__name__)"
    )
    place, name = run(python, "-c", code, cwd=tmp_path).splitlines()
    assert Path(place).parent == folder and name == "KdSeq2SeqCriterion"
