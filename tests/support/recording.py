"""A stub that records what a recipe would run, and parsers for what it recorded."""

import sys
from pathlib import Path

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "examples" / "tatoeba_sv_en"
STUDENTS = ("plain_plain", "kd_plain", "plain_kd", "kd_kd")
VOCAB = "200"

# Records its arguments, then makes the files that the next step looks for.
STUB = f"""#!{sys.executable}
import json, os, sys, time
from pathlib import Path
name, argv = Path(sys.argv[0]).name, sys.argv[1:]
after = lambda flag: Path(argv[argv.index(flag) + 1])
if argv[0] == "train":  # lightpaff's: fairseq-train, but for two flags of its own
    name, argv = "fairseq-train", argv[1:]
    for flag in ("--name", "--log"):
        del argv[argv.index(flag) : argv.index(flag) + 2]
if argv[0] == "subwords":
    if argv[1] == "encode" and os.environ.get("ENCODE") == "copy":
        os.execvp("cat", ["cat"])
    os.execv(sys.executable, [sys.executable, "-m", "lightpaff_fairseq.cli.main", *argv])
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps([name, *argv]) + "\\n")
if name == "fairseq-train":
    model = after("--save-dir").name
    (after("--save-dir") / "pid").write_text(str(os.getpid()))
    if model == os.environ.get("HANG"):
        time.sleep(60)
    if model == os.environ.get("FAIL"):
        sys.exit(f"{{model}}: error: --made-up: wrong")
    (after("--save-dir") / "checkpoint_best.pt").touch()
elif argv[0] == os.environ.get("FAIL"):
    print("lightpaff strip: error: --made-up: wrong", file=sys.stderr)
    sys.exit(2)
elif argv[0] in ("strip", "compact", "init-student"):
    after("--out").touch()
elif argv[0] == "prune-plan":
    print("architecture: --arch", os.environ["SMALL"])
elif argv[0] == "evaluate":
    after("--out").write_text("[]")
    print("the table")
"""


def of(calls, *name):
    return [call[len(name) :] for call in calls if tuple(call[: len(name)]) == name]


def parse_training(argv):
    """fairseq-train's configuration; an unknown flag or a wrong value ends in SystemExit."""
    parser = options.get_training_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, argv))


def trainings(calls):
    configs = [parse_training(argv) for argv in of(calls, "fairseq-train")]
    return {Path(cfg.checkpoint.save_dir).name: cfg for cfg in configs}
