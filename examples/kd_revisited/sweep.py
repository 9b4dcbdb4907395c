"""Train every point of a grid, one after the other; run.sh calls it with the recipe's flags.

    python sweep.py --recipe OUT --out SWEEP --arch ARCH --shape "2x96" --vary knowledge -- FLAGS

Start it again after a stop: finished points are not repeated. Start it in two terminals to train
two points at a time. Each point writes SWEEP/points/NAME.json; SWEEP/results.jsonl holds them all.
"""

import argparse
import fcntl
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightpaff_fairseq
from grid import Point, Values, key, named, points, with_shapes
from lightpaff_fairseq.cli.main import main as lightpaff
from lightpaff_fairseq.output_file import write_text
from lightpaff_fairseq.pruning.init_student import StudentRequest, init_student
from lightpaff_fairseq.pruning.one_shot import Sample
from lightpaff_fairseq.teachers.cache.header import HEADER
from training import train

SHOWN = ("_loss", "_accuracy", "_bleu")
FEW = Sample(batches=8, max_tokens=1024)  # batches that init=teacher_important reads
USER_DIR = str(Path(lightpaff_fairseq.__file__).parent)


@dataclass(frozen=True)
class Sweep:
    """Settings that all points share.

    Attributes:
        recipe: folder of the recipe with the teacher and the pre-trained students.
        out: output folder.
        arch, teacher_arch: architectures; `teacher_arch` includes its flags.
        flags: flags of every run; the first is the data folder.
        splits: evaluated after the last update.
        axes: values of each axis and their flags.
        pruned: for each shape, the flags with which the teacher is pruned to it.
    """

    recipe: Path
    out: Path
    arch: str
    flags: tuple[str, ...]
    splits: tuple[str, ...]
    axes: Mapping[str, Values]
    teacher_arch: tuple[str, ...]
    pruned: Mapping[str, tuple[str, ...]]

    @property
    def teacher(self) -> Path:
        """Return the fine-tuned teacher."""
        return self.recipe / "teacher.pt"

    def checkpoint(self, point: Point) -> tuple[Path, ...]:
        """Return the initial checkpoint, none if random; derive it from the teacher if needed."""
        recipe_names = {"distilled": "kd", "pretrained": "plain"}
        if point["init"] == "random":
            return ()
        if point["init"] == "homodistil":
            return (self.teacher,)
        if point["init"] in recipe_names:
            return (self.recipe / f"student_pretrained_{recipe_names[point['init']]}.pt",)
        layers = point["init"].removeprefix("teacher_")
        path = self.out / "init" / f"{point['shape']}-{layers}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if not path.exists():
                shape = self.axes["shape"][point["shape"]]
                flags = (*self.flags[1:], *shape)
                rule = {"important": ("uniform", "importance")}.get(layers, (layers, "magnitude"))
                request = StudentRequest(
                    *(self.teacher, self.arch, path, rule[0]),
                    width_by=rule[1],
                    data=self.flags[0],
                    importance_batches=FEW.batches,
                    importance_max_tokens=FEW.max_tokens,
                )
                init_student(request, flags)
        return (path,)

    def architecture(self, point: Point) -> list[str]:
        """Return the model flags: the shape's, or the teacher's plus those that prune it."""
        if point["init"] != "homodistil":
            return ["--arch", self.arch, *self.axes["shape"][point["shape"]]]
        return ["--arch", *self.teacher_arch, *self.pruned[point["shape"]]]

    def teacher_flags(self, point: Point) -> list[str]:
        """Return the flags of the teacher checkpoint, or of its cache, built on first use."""
        if point["teacher"] == "online":
            return ["--kd-teacher", str(self.teacher)]
        cache = self.out / "cache"
        with locked(self.out / "locks" / "cache"):
            if not (cache / HEADER).exists():
                words = ["cache-teacher", *self.flags, "--arch", self.arch, "--user-dir", USER_DIR]
                words += ["--path", str(self.teacher), "--out", str(cache)]
                if lightpaff(words):
                    raise ValueError(f"{cache} could not be built")
        return ["--kd-cache", str(cache)]

    def training(self, point: Point) -> list[str]:
        """Return the flags of fairseq-train."""
        axes = {axis: values for axis, values in self.axes.items() if axis != "shape"}
        words = [
            *self.flags,
            *point.flags(axes),
            *self.architecture(point),
            *self.teacher_flags(point),
        ]
        for path in self.checkpoint(point):
            words += ["--finetune-from-model", str(path)]
        return [*words, "--seed", str(point.seed), "--user-dir", USER_DIR]

    def teacher_evaluation(self) -> list[str]:
        """Return flags that validate the teacher after one update with learning rate 0."""
        words = [*self.flags, "--arch", *self.teacher_arch, "--user-dir", USER_DIR]
        words += ["--lr", "0", "--max-update", "1", "--kd-lambda", "0"]
        return [*words, "--finetune-from-model", str(self.teacher)]


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock until the block or the process ends; yield whether it was acquired."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def finished(sweep: Sweep, point: Point) -> bool:
    """Return whether the point has a result.

    Raises:
        ValueError: the result was made with other flags.
    """
    path = sweep.out / "points" / f"{point.name}.json"
    if not path.exists():
        return False
    stored = json.loads(path.read_text(encoding="utf-8"))["flags_key"]
    if stored != key(_portable(sweep, sweep.training(point))):
        raise ValueError(f"{path}: was made with other flags; remove it or choose another --out")
    return True


def _portable(sweep: Sweep, flags: Sequence[str]) -> list[str]:
    """Replace the folders in the flags by names, so that folders may be moved."""
    places = {str(sweep.out): "SWEEP", str(sweep.recipe): "RECIPE", USER_DIR: "lightpaff_fairseq"}
    for place, name in places.items():
        flags = [word.replace(place, name) for word in flags]
    return list(flags)


def run(sweep: Sweep, point: Point) -> dict[str, Any]:
    """Train one point and write its result."""
    flags = sweep.training(point)
    log = sweep.out / "logs" / f"{point.name}.log"
    measured = train(flags, sweep.splits, log)
    portable = _portable(sweep, flags)
    values: dict[str, Any] = {"name": point.name, **dict(point.values), "seed": point.seed}
    row = values | measured | {"flags_key": key(portable), "flags": portable}
    write_text(sweep.out / "points" / f"{point.name}.json", json.dumps(row) + "\n", "--out")
    files = sorted((sweep.out / "points").glob("*.json"))
    rows = "".join(file.read_text(encoding="utf-8") for file in files)
    write_text(sweep.out / "results.jsonl", rows, "--out")
    return row


def prepare(sweep: Sweep) -> None:
    """Create the folders, record the base point, and evaluate the teacher."""
    for folder in ("points", "logs", "locks"):
        (sweep.out / folder).mkdir(parents=True, exist_ok=True)
    base = {axis: next(iter(values)) for axis, values in sweep.axes.items()}
    write_text(sweep.out / "base.json", json.dumps(base) + "\n", "--out")
    with locked(sweep.out / "locks" / "teacher"):
        if not (sweep.out / "teacher.json").exists():
            log = sweep.out / "logs" / "teacher.log"
            measured = train(sweep.teacher_evaluation(), sweep.splits, log)
            write_text(sweep.out / "teacher.json", json.dumps(measured) + "\n", "--out")


def work(sweep: Sweep, grid: Sequence[Point]) -> int:
    """Train the points that no process has finished or is training; return 1 if one failed."""
    failed = 0
    for i, point in enumerate(grid, 1):
        name = f"{i}/{len(grid)} {point.name}"
        with locked(sweep.out / "locks" / point.name, wait=False) as acquired:
            if not acquired or finished(sweep, point):
                continue
            try:
                row = run(sweep, point)
            except (ValueError, RuntimeError) as error:
                failed += 1
                print(f"{name}: failed: {error}", file=sys.stderr)
                continue
        shown = " ".join(f"{k} {v:g}" for k, v in row.items() if k.endswith(SHOWN))
        print(f"{name}: {shown} ({row['seconds']:.0f} s)", flush=True)
    return int(failed > 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and work through the grid; return 2 after bad input."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--recipe", type=Path, required=True, help="folder of a recipe's finished models")
    add("--out", type=Path, required=True, help="folder for the results")
    add("--arch", required=True, help="the students' architecture")
    add("--teacher-arch", required=True, metavar="'ARCH FLAGS'", help="the teacher's architecture")
    add("--shape", action="append", required=True, metavar="'NAME FLAGS'", help="sizes to compare")
    text = "a shape to which HomoDistil prunes the teacher, with the flags"
    add("--pruned", action="append", default=[], metavar="'NAME FLAGS'", help=text)
    add("--split", nargs="+", default=["valid", "test"], help="splits to evaluate (%(default)s)")
    add("--vary", nargs="+", required=True, metavar="AXIS[=VALUE,...][*AXIS...]")
    add("--seeds", nargs="+", type=int, default=[1, 2, 3])
    add("--dry-run", action="store_true", help="print the names of the points")
    add("flags", nargs="+", help="flags of fairseq-train for every point, after --")
    args = parser.parse_args(argv)
    try:
        axes = with_shapes(args.shape)
        pruned = named(args.pruned)
        grid = points(args.vary, axes, args.seeds, pruned)
        sweep = Sweep(
            *(args.recipe, args.out, args.arch, tuple(args.flags), tuple(args.split), axes),
            *(tuple(args.teacher_arch.split()), pruned),
        )
        check(sweep)
        if args.dry_run:
            print("\n".join(point.name for point in grid))
            return 0
        prepare(sweep)
        return work(sweep, grid)
    except ValueError as error:
        print(f"sweep.py: error: {error}", file=sys.stderr)
        return 2


def check(sweep: Sweep) -> None:
    """Raise ValueError unless the recipe's models exist."""
    names = ("teacher.pt", "student_pretrained_kd.pt", "student_pretrained_plain.pt")
    missing = [name for name in names if not (sweep.recipe / name).is_file()]
    if missing:
        raise ValueError(f"--recipe {sweep.recipe}: missing files: {', '.join(missing)}")


if __name__ == "__main__":
    sys.exit(main())
