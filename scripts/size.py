"""Print how large the code is: lines per package, and files and functions over the limits.

python scripts/size.py
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "lightpaff_fairseq"
CORE = ("criterions", "losses", "teachers")  # without teachers/cache
MAX_CORE, MAX_FILE, MAX_FUNCTION = 2_500, 250, 40


def files() -> dict[str, int]:
    """Return the lines of every module and template, by path relative to the package."""
    paths = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in (".py", ".j2")]
    return {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in paths
    }


def packages(sizes: dict[str, int]) -> Counter[str]:
    """Return the lines of every top-level package; modules beside them count as `.`."""
    total: Counter[str] = Counter()
    for path, lines in sizes.items():
        total[path.partition("/")[0] if "/" in path else "."] += lines
    return total


def core(sizes: dict[str, int]) -> int:
    """Return the lines of the distillation core: criterions, losses, teachers without cache."""
    return sum(
        lines
        for path, lines in sizes.items()
        if path.startswith(tuple(f"{name}/" for name in CORE))
        and not path.startswith("teachers/cache/")
    )


def functions() -> Iterator[tuple[str, int]]:
    """Yield `path::name` and the lines of every function, its decorators not counted."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(PACKAGE).as_posix()}::{node.name}"
                yield name, (node.end_lineno or node.lineno) - node.lineno + 1


def long_files(sizes: dict[str, int]) -> dict[str, int]:
    """Return the modules with more than MAX_FILE lines."""
    return {path: n for path, n in sizes.items() if path.endswith(".py") and n > MAX_FILE}


def long_functions() -> dict[str, int]:
    """Return the functions with more than MAX_FUNCTION lines."""
    return {name: lines for name, lines in functions() if lines > MAX_FUNCTION}


def main() -> None:
    """Print the tables."""
    sizes = files()
    for name, lines in packages(sizes).most_common():
        print(f"{lines:7,}  {name}")
    print(f"{sum(sizes.values()):7,}  total")
    print(f"{core(sizes):7,}  core: {', '.join(CORE)} without cache (limit {MAX_CORE:,})")
    for kind, limit, table in (
        ("files", MAX_FILE, long_files(sizes)),
        ("functions", MAX_FUNCTION, long_functions()),
    ):
        print(f"\n{len(table)} {kind} over {limit} lines")
        for name, lines in sorted(table.items(), key=lambda row: -row[1]):
            print(f"{lines:7,}  {name}")


if __name__ == "__main__":
    main()
