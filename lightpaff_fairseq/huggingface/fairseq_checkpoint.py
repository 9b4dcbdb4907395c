"""Read a fairseq checkpoint with its dictionaries; write one as fairseq-train would have."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from fairseq import options, tasks
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf
from torch import Tensor, nn

from ..checkpoints.building import apply_arch_defaults, build, heads_in, value_of, writable
from ..checkpoints.dictionaries import check_trained_with
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.strip import stripped_state
from ..checkpoints.writing import verify_loads_into, write_checkpoint
from ..json_files import object_as, read_json
from ..problems import Problems, as_value_error, prefix_errors
from .conversion import MODEL, ORIGIN, RECORD
from .families.registry import FAMILIES
from .tables import name_problems, shape_problems

CRITERIONS = ("masked_lm", "sentence_prediction")  # of tasks with the same name
DTYPES = ("float32", "float16", "bfloat16", "float64")
MOST_TOKENS = 2**31
EMBEDDINGS = ("encoder.sentence_encoder", "encoder", "decoder")


@dataclass(frozen=True)
class Record:
    """What `to_fairseq` recorded of a Hugging Face model, for a conversion back.

    Attributes:
        model_type, architecture, dtype: of the Hugging Face model.
        order: the Hugging Face id of each token of fairseq's dictionary.
        segment: the segment embedding that was folded into the positions.
        encoding: fairseq's flags for the tokenizer.
    """

    model_type: str
    architecture: str
    dtype: str
    order: list[int]
    segment: int | None = None
    encoding: str = ""
    format: int = 1


@dataclass(frozen=True)
class FairseqModel:
    """A fairseq checkpoint, with the dictionaries it belongs to.

    Attributes:
        data: the folder of the dictionaries.
        origin: `huggingface/` of the folder that its vocabulary came from, or None.
        record: what `to_fairseq` recorded there; None without `origin`.
    """

    cfg: Any
    tensors: dict[str, Tensor]
    task: Any
    data: Path
    origin: Path | None
    record: Record | None

    @property
    def order(self) -> list[int]:
        """Return the Hugging Face id of each token of the target dictionary."""
        return list(range(len(self.target))) if self.record is None else self.record.order

    @property
    def positions(self) -> int:
        """Return the maximum number of tokens of an encoder; 0: the model has none."""
        return int(value_of(self.cfg.model, "max_positions") or 0)

    @property
    def target(self) -> Dictionary:
        """Return the dictionary of what the model predicts."""
        return self.task.target_dictionary or self.task.source_dictionary


def read(path: Path, data: Path | None, tokenizer: Path | None = None) -> FairseqModel:
    """Read a checkpoint with its dictionaries.

    Args:
        data: the folder of the dictionaries; None: the checkpoint's, or where it was trained.
        tokenizer: a folder that `to_fairseq` wrote; None: the checkpoint's or `data`, if it is one.
    Raises:
        ValueError: the file or the record is corrupt, there are no dictionaries, or they are not
            those that it was trained with, or the weights not those of the model it describes.
    """
    state = read_checkpoint(path, "--from fairseq")
    cfg = state["cfg"]
    beside = path.parent if any(path.parent.glob("dict*.txt")) else None
    folder = data or beside or Path(str(value_of(cfg.task, "data")).split(":")[0])
    with as_value_error(f"--data {folder}: expected the dictionaries of {path}, got none"):
        task = setup_task(cfg, folder)
    origins = [x / ORIGIN for x in ([path.parent, folder] if tokenizer is None else [tokenizer])]
    origin = next((place for place in origins if (place / RECORD).is_file()), None)
    if tokenizer is not None and origin is None:
        raise ValueError(
            f"--tokenizer {tokenizer}: expected a folder of lightpaff convert, got no "
            f"{ORIGIN}/{RECORD}"
        )
    record = None if origin is None else _read_record(origin / RECORD)
    model = FairseqModel(cfg, dict(state["model"]), task, folder, origin, record)
    _check_sizes(model, path, folder)
    check_trained_with(("--from fairseq", path), cfg.task, task, f"--data {folder}")
    apply_arch_defaults(cfg.model)
    built = build(cfg.model, task, heads_in(model.tensors), "fairseq")
    return replace(model, tensors=complete(built, model.tensors))


def _check_sizes(model: FairseqModel, path: Path, folder: Path) -> None:
    """Compare the sizes of the dictionaries with those of the record and the embeddings."""
    source, target = len(model.task.source_dictionary), len(model.target)
    sizes = [(len(model.order), target, model.origin)]
    for module in EMBEDDINGS:
        table = model.tensors.get(f"{module}.embed_tokens.weight")
        if table is not None:
            sizes.append((len(table), target if module == "decoder" else source, path))
    for expected, size, reference in sizes:
        if expected != size:
            raise ValueError(
                f"--data {folder}: expected {expected} symbols, as {reference} says, got {size}"
            )


def _read_record(path: Path) -> Record:
    content = read_json(path)
    with prefix_errors(f"{path}: corrupt"):
        record = object_as(Record, content)
        family = FAMILIES.get(record.model_type)
        problems = Problems()
        problems.unless(
            family is not None and record.architecture in family.classes,
            f"{record.architecture}: no class of the model type {record.model_type!r}",
        )
        problems.unless(
            record.dtype in DTYPES, f"dtype: expected one of {DTYPES}, got {record.dtype!r}"
        )
        ids = sorted(record.order)
        problems.unless(
            ids[:1] >= [0] and len(set(ids)) == len(ids) and ids[-1] < MOST_TOKENS,
            "order: expected different numbers of tokens",
        )
        problems.raise_if_any()
    return record


def parse(data: str, flags: Sequence[str]) -> Any:
    """Return the configuration of `fairseq-train DATA FLAGS`, where the first flag is `--task`.

    Raises:
        ValueError: a value that fairseq's parser refuses.
    """
    parser = options.get_training_parser()

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"fairseq cannot hold this model: {message}")

    parser.error = refuse
    criterion = flags[1] if flags[1] in CRITERIONS else "cross_entropy"
    words = [data, *flags, "--criterion", criterion, "--optimizer", "adam"]
    args = options.parse_args_and_arch(parser, words)
    with warnings.catch_warnings():  # hydra's, about fairseq's use of it
        warnings.simplefilter("ignore", UserWarning)
        return convert_namespace_to_omegaconf(args)


def setup_task(cfg: Any, folder: Path) -> Any:
    """Build the task of a configuration, with the dictionaries in `folder`."""
    section = OmegaConf.create(cfg.task) if isinstance(cfg.task, dict) else cfg.task
    before = section.data
    with writable(section):
        section.data = str(folder)
    try:
        return tasks.setup_task(section)
    finally:
        with writable(section):
            section.data = before


def complete(model: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add what a fairseq model has besides, and compare names and shapes with the model's.

    Raises:
        ValueError: tensors are missing, left over or of another shape: all are named.
    """
    expected = model.state_dict()
    versions = {name: x for name, x in expected.items() if name.endswith(".version")}
    tensors = {**versions, **tensors}
    names = (expected.keys() - tensors.keys(), tensors.keys() - expected.keys())
    problems = Problems(name_problems(*names, shape_problems(expected, tensors)))
    problems.raise_if_any("the weights do not fit fairseq's model; ")
    return tensors


@dataclass(frozen=True)
class WrittenModel:
    """A checkpoint that was written and read back: its configuration, and the model in float32."""

    cfg: Any
    model: Any


def write(
    out: Path, flags: Sequence[str], tensors: dict[str, Tensor], folder: Path
) -> WrittenModel:
    """Write `model.pt` to a folder with dictionaries and read it back into the model of `flags`.

    Args:
        out: the folder's later name, recorded as the data of the task.
        tensors: in float32.
    Raises:
        ValueError: see `parse` and `complete`.
    """
    cfg = parse(str(out), flags)
    task = setup_task(cfg, folder)
    heads = heads_in(tensors)
    if heads:
        with writable(cfg.model):
            cfg.model.load_checkpoint_heads = True
    state = stripped_state(
        {"cfg": cfg, "model": tensors, "optimizer_history": [{"optimizer_name": "adam"}]}
    )
    stored = OmegaConf.create(state["cfg"])
    model = build(stored.model, task, heads, "fairseq")
    state["model"] = complete(model, tensors)
    # Share the source's weights: with those that are read back, it would be three copies
    nn.Module.load_state_dict(model, state["model"], strict=True, assign=True)
    verify = partial(verify_loads_into, model, state)
    write_checkpoint(state, folder / MODEL, verify)
    return WrittenModel(stored, model)


def build_model(cfg: Any, task: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a model with its weights, in float32; cfg: the section of the model."""
    model = build(cfg, task, heads_in(tensors), "fairseq").float()
    model.load_state_dict(dict(tensors), strict=True, model_cfg=cfg)
    return model
