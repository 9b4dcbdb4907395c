"""Run fairseq's own tests without and with the plug-in, and list what differs.

FAIRSEQ_TESTS=.../fairseq/tests python scripts/fairseq_tests.py [-k transformer, ... for pytest]

Nothing is downloaded: FAIRSEQ_TESTS is the folder `tests` of fairseq's source. It is copied, so
that the installed fairseq is tested, and not the source beside it. Exit code 1: a test fails
only with the plug-in.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

PLUGIN = "lightpaff_fairseq"
ROOT = Path(__file__).resolve().parent.parent
RAN = (0, 1, 2)  # exit codes of pytest: passed, failed, files that cannot be imported
PASSED, SKIPPED, NOT_RUN = "passed", "skipped", "not run"
Outcomes = dict[str, str]


def run(folder: Path, flags: Sequence[str], plugin: bool) -> Outcomes:
    """Run the tests in a folder; return the outcome of each: PASSED, SKIPPED or the error.

    Raises:
        SystemExit: pytest itself ended early.
    """
    report = folder / f"results_{plugin}.xml"
    command = [sys.executable, "-m", "pytest", "tests", "-q", "--tb=line", f"--junitxml={report}"]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors", *flags]
    command += ["-p", PLUGIN] if plugin else []
    paths = [str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    title = f"{'with' if plugin else 'without'} the plug-in"
    print(f"run the tests {title}", flush=True)
    with (folder / "pytest.log").open("w") as log:
        code = subprocess.run(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code not in RAN or not report.exists():
        end = "\n".join(Path(log.name).read_text(errors="replace").splitlines()[-20:])
        raise SystemExit(f"pytest {title} ended with code {code}:\n{end}")
    return outcomes(report)


def outcomes(report: Path) -> Outcomes:
    """Read pytest's JUnit file."""
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        result = next((x for x in case if x.tag in ("failure", "error", SKIPPED)), None)
        if result is None:
            results[name] = PASSED
        elif result.tag == SKIPPED:
            results[name] = SKIPPED
        else:
            results[name] = " ".join((result.get("message") or result.tag).split())[:120]
    return results


def failures(results: Outcomes) -> Outcomes:
    """Return the tests that failed, with their errors."""
    return {name: text for name, text in results.items() if text not in (PASSED, SKIPPED)}


def compare(plain: Outcomes, with_plugin: Outcomes) -> tuple[list[str], Outcomes]:
    """Compare two runs; return lines to print, and what fails only with the plug-in."""
    failed, failed_with = failures(plain), failures(with_plugin)
    both = {name: text for name, text in failed.items() if name in failed_with}
    only_with = {name: text for name, text in failed_with.items() if name not in failed}
    only_without = {name: text for name, text in failed.items() if name not in failed_with}
    changed = {
        name: f"{plain.get(name, NOT_RUN)}; with the plug-in: {with_plugin.get(name, NOT_RUN)}"
        for name in sorted(plain.keys() | with_plugin.keys())
        if name not in only_with | only_without and plain.get(name) != with_plugin.get(name)
    }
    lines = [f"{len(plain)} tests without the plug-in, {len(with_plugin)} with it"]
    lines.append(f"fail in both runs: {len(both)}; the most frequent errors:")
    lines += [f"  {count} times {text}" for text, count in Counter(both.values()).most_common(5)]
    for title, group in (
        ("fail only with the plug-in", only_with),
        ("fail only without the plug-in", only_without),
        ("differ in another way", changed),
    ):
        lines.append(f"{title}: {len(group)}")
        lines += [f"  {name}: {text}" for name, text in sorted(group.items())]
    return lines, only_with


def main(flags: Sequence[str]) -> int:
    """Run and compare; return the exit code."""
    given = os.environ.get("FAIRSEQ_TESTS", "")
    tests = Path(given)
    if not given or not any(tests.glob("test_*.py")):
        message = "expected the folder `tests` of fairseq's source, with files test_*.py"
        print(f"FAIRSEQ_TESTS={given}: {message}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        runs = []
        for plugin in (False, True):
            folder = Path(name, str(plugin))
            shutil.copytree(tests, folder / "tests")
            runs.append(run(folder, flags, plugin))
    lines, only_with = compare(*runs)
    print("\n".join(lines))
    return 1 if only_with else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
