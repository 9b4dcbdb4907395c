"""The versions that scripts/setup.sh installs and builds with are renewed together."""

from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


def pins(name):
    lines = (SCRIPTS / name).read_text(encoding="utf-8").splitlines()
    words = [line.split("#")[0].strip() for line in lines]
    return dict(word.split("==") for word in words if word)


def test_fairseq_is_built_with_what_is_installed_but_for_numpy():
    installed, built = pins("constraints.txt"), pins("build_constraints.txt")
    assert int(built.pop("numpy").split(".")[0]) >= 2 and "fairseq-fixed" in built
    assert built.items() <= installed.items()
