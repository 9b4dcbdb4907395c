"""Folders and logs as recipes and fairseq leave them, for the tests of `lightpaff report`."""

import json
from pathlib import Path

from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.provenance import LOGGER

SVG = "{http://www.w3.org/2000/svg}"

REPR = (  # fairseq's own dump of its configuration, cut short
    "{'_name': None, 'common': {'_name': None, 'seed': 1, 'fp16': False}, "
    "'model': Namespace(arch='roberta_tiny', stop_min_lr=-1.0, lr=[0.5], x=inf), "
    "'task': {'_name': '%s', 'data': 'data-bin', 'shorten_method': truncate}, "
    "'optimization': {'lr': [0.0005], 'max_update': 600}, "
    "'criterion': {'_name': 'kd_lu', 'kd_lambda': 0.5}}"
)
CONFIGURATION = {
    "criterion._name": "kd_lu",
    "criterion.kd_lambda": 0.5,
    "optimization.lr": [0.0005],
    "optimization.max_update": 600,
}
NAMES = {
    "teacher": "teacher",
    "student_plain_plain": "no KD",
    "student_kd_plain": "pre-training KD",
    "student_plain_kd": "fine-tuning KD",
    "student_kd_kd": "two-stage KD",
}
ACCURACY = (80.125, 75.5, 75.25, 77.0625, 78.5)


def line(name, text, time="2026-01-02 03:04:05"):
    return f"{time} | INFO | {name} | {text}"


def provenance(**recorded):
    return line(LOGGER, json.dumps(recorded))


def start_of_version_0_1(task="sentence_prediction", parameters=1234):
    """Without the configuration as JSON."""
    return [
        line("fairseq_cli.train", REPR % task),
        line("fairseq_cli.train", f"num. shared model params: {parameters:,} (num. trained: 1)"),
    ]


def start(task="sentence_prediction"):
    settings = {"task._name": task, **CONFIGURATION}
    return [*start_of_version_0_1(task), provenance(configuration=settings)]


def inner(update, **values):
    """An interval of training; fairseq writes numbers as strings."""
    numbers = {"epoch": 1, "update": 0.1, **{k: str(v) for k, v in values.items()}}
    numbers |= {"wps": "100", "num_updates": str(update), "lr": "0.1", "wall": str(3 * update)}
    return line("train_inner", json.dumps(numbers))


def valid(update, split="valid", **values):
    numbers = {"epoch": 1, **{f"{split}_{k}": str(v) for k, v in values.items()}}
    return line(split, json.dumps(numbers | {f"{split}_num_updates": str(update)}))


DONE = line("fairseq_cli.train", "done training in 9.9 seconds")


def write_log(path: Path, lines) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return path


def training(distills, offset=0.0, task="sentence_prediction"):
    lines = start(task)
    for update in range(50, 601, 50):
        kd = {"kd_loss": 2 / update, "label_loss": 30 / update} if distills else {}
        lines.append(inner(update, loss=90 / update + offset, nll_loss=9 / update, **kd))
        if update % 200 == 0:
            lines.append(valid(update, loss=80 / update, accuracy=70 + update / 100 + offset))
    return [*lines, DONE]


def rows():
    """As `lightpaff evaluate` writes them, with numbers that formatting would change."""
    results = []
    for i, (stem, name) in enumerate(NAMES.items()):
        speed = 50.83 if i == 0 else 490.123 + i
        row = {"name": name, "path": f"/x/{stem}.pt", "params": 4353956 if i == 0 else 643556}
        row |= {"group": name, "seed": 1}
        row |= {"size_mb": 17.458 if i == 0 else 2.604, "accuracy": ACCURACY[i], "f1": 77.891}
        row |= {"sentences": 1066, "sentences_per_s": speed}
        row |= {"sentences_per_s_runs": [speed - 5.5, speed, speed + 4.25]}
        row |= {"times_smaller": 1.0 if i == 0 else 6.77, "times_faster": round(speed / 50.83, 2)}
        results.append(row)
    return results


def recipe(folder: Path, results=None) -> Path:
    """A finished recipe: results.json, logs, flags."""
    (folder / "logs").mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(rows() if results is None else results))
    for i, stem in enumerate(NAMES):
        write_log(folder / "logs" / f"{stem}.log", training(stem.endswith("_kd"), i / 10))
        (folder / stem).mkdir()
        flags = f"{stem} OUT/data --arch roberta_tiny --adam-betas (0.9, 0.98) --seed {i}\n"
        (folder / stem / "flags").write_text(flags)
    write_log(folder / "logs" / "teacher_pretrained.log", training(False, task="masked_lm"))
    write_log(folder / "logs" / "prepare.log", ["whatever"])
    return folder


def pruning_log(path: Path, end=400) -> Path:
    lines = start("prunable_masked_lm")
    for update in range(50, 601, 50):
        sparsity = round(0.8 * min(1.0, update / end), 4)
        lines.append(inner(update, loss=5, kd_loss=3 / update, prune_sparsity=sparsity))
    lines.append(line("x.pruner", f"pruned to the target at update {end}: hidden 3 of 4"))
    return write_log(path, [*lines, DONE])


def sweep(folder: Path) -> Path:
    """As examples/kd_revisited leaves it, with two axes and two seeds."""
    folder.mkdir(parents=True)
    base = {"knowledge": "logits", "soft": "0.5"}
    (folder / "base.json").write_text(json.dumps(base))
    teacher = {"valid_accuracy": 80.5, "parameters": 9000}
    (folder / "teacher.json").write_text(json.dumps(teacher))
    points = [("logits", "0.5"), ("hidden", "0.5"), ("logits", "1"), ("hidden", "1")]
    lines = []
    for i, (knowledge, soft) in enumerate(points):
        for seed in (1, 2):
            row = {"name": f"{knowledge}-{soft}-s{seed}", "knowledge": knowledge, "soft": soft}
            row |= {"seed": seed, "valid_accuracy": 70.5 + i + seed / 8, "valid_nll_loss": 0.75}
            row |= {"parameters": 643556, "flags": ["data", "--adam-betas", "(0.9, 0.98)"]}
            lines.append(json.dumps(row) + "\n")
    (folder / "results.jsonl").write_text("".join(lines))
    return folder


def report(capsys, *argv):
    """What `lightpaff report` makes of a command line: exit code and errors."""
    code = main(["report", *(str(word) for word in argv)])
    return code, capsys.readouterr().err
