"""A stub that records what a recipe would run, and parsers for what it recorded."""

import sys
from pathlib import Path

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from lightpaff_fairseq.cli.main import build_parser
from lightpaff_fairseq.distill.setting_sources import merge
from lightpaff_fairseq.distill.settings import DistillSettings

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "examples" / "tatoeba_sv_en"
ROWS = ("no_kd", "pretraining_kd", "finetuning_kd", "two_stage", "from_teacher")
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
if os.environ.get("HANG") in (name, argv[0]):
    folder = Path(os.environ["OUT"], os.environ["HANG"])
    folder.mkdir(parents=True)
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
if name == "fairseq-train" or argv[0] == "distill":
    folder = after("--save-dir" if name == "fairseq-train" else "--out")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pid").write_text(str(os.getpid()))
    if folder.name == os.environ.get("HANG"):
        time.sleep(60)
    if folder.name == os.environ.get("FAIL"):
        sys.exit(f"{{folder.name}}: error: --made-up: wrong")
    made = ["checkpoint_best.pt"] if name == "fairseq-train" else ["student.pt"]
    for file in [*made, *(["pretrained.pt"] if "--text" in argv else [])]:
        if not (folder / file).exists():
            (folder / file).touch()
elif name == "fairseq-preprocess":
    after("--destdir").mkdir(parents=True, exist_ok=True)
elif argv[0] == os.environ.get("FAIL"):
    print("lightpaff strip: error: --made-up: wrong", file=sys.stderr)
    sys.exit(2)
elif argv[0] in ("strip", "compact", "init-student"):
    after("--out").touch()
elif argv[0] == "convert":
    folder = Path(argv[argv.index("--to") + 2])
    folder.mkdir(parents=True)
    (folder / "dict.txt").write_text("the 1\\n[MASK] 1\\n")
    (folder / "encoding.json").touch()
    print("model: --task sentence_prediction --arch bert --encoder-layers 6 --num-classes",
          after("--num-classes"), "--init-token 0")
    print("text, as files in", folder)
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


def distillations(calls):
    """The settings of every `lightpaff distill`, by the names of their folders."""
    rows = {}
    for argv in of(calls, "lightpaff", "distill"):
        args = build_parser().parse_args(["distill", *argv])
        given = {k: v for k, v in vars(args).items() if k in DistillSettings.__dataclass_fields__}
        settings = merge(args.config, given, args.overrides)
        rows[settings.out.name] = settings
    return rows


def evaluation(calls):
    """The parsed flags of the only `lightpaff evaluate`."""
    (argv,) = of(calls, "lightpaff", "evaluate")
    return build_parser().parse_args(["evaluate", *argv])
