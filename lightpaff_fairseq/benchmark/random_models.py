"""Write untrained models and random text, to measure speed at any size."""

import shutil
from pathlib import Path
from typing import Any

import torch
from fairseq import tasks
from fairseq.data import Dictionary, indexed_dataset

from ..checkpoints.strip import stripped_state
from ..export.loaded_model import CLASSIFICATION, LANGUAGE_MODELING, TRANSLATION
from ..fairseq_flags import parse_fairseq
from .synthetic_data import SPLIT, write_corpus

LANGUAGES = ("xx", "yy")
CLASSES = 2
TASK_FLAGS = {
    TRANSLATION: "--source-lang xx --target-lang yy",
    LANGUAGE_MODELING: "--sample-break-mode eos",
    CLASSIFICATION: f"--num-classes {CLASSES} --init-token 0 --criterion sentence_prediction",
}


def write_random_data(folder: Path, task: str, sizes: dict[str, int]) -> Path:
    """Write random data of a task with one split, `synthetic_data.SPLIT`.

    Args:
        folder: an existing, empty folder.
        sizes: `vocab`, `sentences`, `length` of `write_corpus`.
    Returns:
        `folder`.
    """
    if task == LANGUAGE_MODELING:
        return write_corpus(folder, **sizes)
    if task == CLASSIFICATION:
        for name in ("input0", "label"):
            (folder / name).mkdir()
        write_corpus(folder / "input0", **sizes)
        _write_labels(folder / "label", sizes["sentences"])
        return folder
    write_corpus(folder, **sizes)
    for language in LANGUAGES:
        shutil.copyfile(folder / "dict.txt", folder / f"dict.{language}.txt")
        for end in ("bin", "idx"):
            name = f"{SPLIT}.{'-'.join(LANGUAGES)}.{language}.{end}"
            shutil.copyfile(folder / f"{SPLIT}.{end}", folder / name)
    return folder


def _write_labels(folder: Path, count: int) -> None:
    labels = Dictionary()
    for i in range(CLASSES):
        labels.add_symbol(str(i))
    labels.save(str(folder / "dict.txt"))
    builder = indexed_dataset.make_builder(f"{folder / SPLIT}.bin", impl="mmap", vocab_size=100)
    for i in range(count):
        builder.add_item(torch.tensor([labels.nspecial + i % CLASSES, labels.eos()]))
    builder.finalize(f"{folder / SPLIT}.idx")


def write_random_model(path: Path, data: Path, task: str, flag: str, words: str) -> Path:
    """Write a checkpoint with initial weights.

    Args:
        path: the file to write.
        data: see `write_random_data`.
        flag: the flag whose value is `words`, for the message.
        words: an architecture, followed by model flags.
    Returns:
        `path`.
    Raises:
        ValueError: fairseq-train rejects `words`.
    """
    argv = [str(data), "--task", task, "--optimizer", "adam", *TASK_FLAGS[task].split()]
    cfg = parse_fairseq("fairseq-train", argv, flag, f"--arch {words}")
    built = tasks.setup_task(cfg.task)
    torch.manual_seed(1)
    model = built.build_model(cfg.model)
    history: list[dict[str, Any]] = [{}]
    state = {"cfg": cfg, "model": model.state_dict(), "optimizer_history": history}
    torch.save(stripped_state(state), path)
    return path
