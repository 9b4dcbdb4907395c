"""Tiny data, dictionaries and runs for the tests: everything goes through fairseq's own parser."""

from pathlib import Path
from typing import Any

import fairseq_cli.train
import numpy as np
import torch
from fairseq import options, tasks
from fairseq.data import Dictionary, indexed_dataset
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf

import lightpaff_fairseq

USER_DIR = str(Path(lightpaff_fairseq.__file__).parent)
WORDS = 26  # ordinary symbols of the toy vocabulary; specials and <mask> come on top


def write_dictionary(path: Path, words: int = WORDS, mask: bool = True) -> Dictionary:
    dictionary = Dictionary()
    for i in range(words):
        dictionary.add_symbol(f"w{i}", n=1000 - i)
    if mask:
        dictionary.add_symbol("<mask>", n=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    dictionary.save(str(path))
    return dictionary


def write_split(prefix: Path, sentences: list[list[int]]) -> None:
    builder = indexed_dataset.make_builder(f"{prefix}.bin", impl="mmap", vocab_size=1000)
    for sentence in sentences:
        builder.add_item(torch.tensor(sentence, dtype=torch.int64))
    builder.finalize(f"{prefix}.idx")


def sentences(count: int, seed: int, words: int = WORDS, longest: int = 9) -> list[list[int]]:
    """Random sentences of 1 to `longest` ordinary symbols, each closed by eos (index 2)."""
    rng = np.random.default_rng(seed)
    return [[*rng.integers(4, 4 + words, rng.integers(1, longest + 1)), 2] for _ in range(count)]


def write_parallel(folder: Path, count: int = 37, words: int = WORDS) -> Path:
    """Binarized sv-en data: the target is the source reversed. 37 is no multiple of 8 (T1)."""
    for lang in ("sv", "en"):
        write_dictionary(folder / f"dict.{lang}.txt", words)
    for seed, split in enumerate(("train", "valid", "test")):
        source = sentences(count, seed, words)
        target = [[*s[:-1][::-1], 2] for s in source]
        write_split(folder / f"{split}.sv-en.sv", source)
        write_split(folder / f"{split}.sv-en.en", target)
    return folder


def write_monolingual(folder: Path, count: int = 37, words: int = WORDS) -> Path:
    write_dictionary(folder / "dict.txt", words)
    for seed, split in enumerate(("train", "valid")):
        write_split(folder / split, sentences(count, seed, words))
    return folder


def write_labeled(folder: Path, count: int = 37, words: int = WORDS, classes: int = 3) -> Path:
    """Data of --task sentence_prediction: sentences, class labels, and regression targets."""
    write_dictionary(folder / "input0" / "dict.txt", words)
    labels = Dictionary()
    for label in range(classes):
        labels.add_symbol(str(label), n=100 - label)
    (folder / "label").mkdir(parents=True, exist_ok=True)
    labels.save(str(folder / "label" / "dict.txt"))
    for seed, split in enumerate(("train", "valid")):
        texts = sentences(count, seed, words)
        write_split(folder / "input0" / split, texts)
        write_split(
            folder / "label" / split, [[labels.nspecial + t[0] % classes, 2] for t in texts]
        )
        (folder / "label" / f"{split}.label").write_text("".join(f"{len(t)}\n" for t in texts))
    return folder


def parse(*argv: Any) -> Any:
    """fairseq-train's configuration for a command line (adam and --user-dir are added)."""
    parser = options.get_training_parser()
    words = [str(a) for a in ("--optimizer", "adam", *argv, "--user-dir", USER_DIR)]
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, words))


def build(*argv: Any) -> tuple[Any, Any, Any]:
    """(task with its train split loaded, model, criterion) of a command line."""
    cfg = parse(*argv, "--max-tokens", 500)
    task = tasks.setup_task(cfg.task)
    torch.manual_seed(cfg.common.seed)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    task.load_dataset("train")
    return task, model, criterion


def batch(task: Any, indices: range | list[int], split: str = "train") -> dict[str, Any]:
    dataset = task.dataset(split)
    return dataset.collater([dataset[i] for i in indices])


def train(*argv: Any, workers: int = 0) -> None:
    """Runs fairseq-train in this process."""
    quiet = ("--log-format", "none", "--no-progress-bar", "--cpu", "--num-workers", workers)
    fairseq_cli.train.main(parse(*argv, *quiet))


def checkpoint(path: Path | str) -> dict[str, Any]:
    return torch.load(path, map_location="cpu")


def save_model(path: Path, cfg: Any, model: Any) -> Path:
    """A checkpoint as fairseq's trainer writes it, without optimizer state."""
    container = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    history = [{"num_updates": 0, "optimizer_name": "x", "lr_scheduler_state": {}}]
    state = {
        "args": None,
        "cfg": container,
        "model": model.state_dict(),
        "optimizer_history": history,
        "extra_state": {"train_iterator": {"epoch": 1}},
        "last_optimizer_state": None,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def with_untrained_head(path: Path, copy: Path) -> Path:
    """A copy of a masked language model whose head is as `lightpaff convert` makes it."""
    state = checkpoint(path)
    dense = state["model"]["encoder.lm_head.dense.weight"]
    state["model"]["encoder.lm_head.dense.weight"] = torch.eye(len(dense))
    torch.save(state, copy)
    return copy
