"""A checkpoint to export or to benchmark: its model and its task."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils, models
from fairseq.tasks.sentence_prediction import SentencePredictionTask

from ..checkpoints.dictionaries import check_trained_with
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.strip import stripped_state
from ..models.sentence_embeddings import trained_pooling
from ..problems import reason_of

TRANSLATION, LANGUAGE_MODELING = "translation", "language_modeling"
CLASSIFICATION, MASKED_LM = "sentence_prediction", "masked_lm"
EMBEDDING = "sentence_embedding"  # of an encoder of one of these two, see `as_embedding`


@dataclass(frozen=True)
class CheckpointInfo:
    """The content of a checkpoint.

    Attributes:
        state: the checkpoint as `lightpaff strip` would write it.
        family: fairseq's name of the model, as `transformer`; `task`: of the task.
        flag: the flag that names the file.
        pooling: that its embeddings were trained for by `kd_embed`, or are exported with.
    """

    path: Path
    state: dict[str, Any]
    family: str
    task: str
    flag: str = "--path"
    pooling: str | None = None

    @property
    def named(self) -> str:
        """The flag and the file, for messages."""
        return f"{self.flag} {self.path}"


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint with its model in eval mode on the CPU, and its task with dictionaries."""

    info: CheckpointInfo
    data: Path
    task: Any
    model: Any

    def dictionary_files(self) -> dict[str, Path]:
        """Return the files of the dictionaries by the name that each gets in an exported folder."""
        if self.info.task == TRANSLATION:
            cfg = self.task.cfg
            names = (f"dict.{cfg.source_lang}.txt", f"dict.{cfg.target_lang}.txt")
            return {name: self.data / name for name in names}
        if isinstance(self.task, SentencePredictionTask):
            files = {"dict.txt": self.data / "input0" / "dict.txt"}
            labels = {"dict.label.txt": self.data / "label" / "dict.txt"}
            return files | labels if self.has_classes else files
        return {"dict.txt": self.data / "dict.txt"}

    @property
    def has_classes(self) -> bool:
        """True for a classifier, false for a regression and for other tasks."""
        return self.info.task == CLASSIFICATION and not self.task.cfg.regression_target

    @property
    def between(self) -> tuple[int, ...]:
        """The ids between the sentences of a pair; empty: the data are single sentences."""
        if self.info.task != CLASSIFICATION or not (self.data / "input1").is_dir():
            return ()
        separator = self.task.cfg.separator_token
        return (self.task.source_dictionary.eos(), *([] if separator is None else [separator]))


def inspect_checkpoint(path: Path, flag: str = "--path") -> CheckpointInfo:
    """Read the checkpoint that `flag` names.

    Raises:
        ValueError: it is missing, cannot be used, or is a pruned model that is not compacted yet.
    """
    whole = read_checkpoint(path, flag)
    pooling = trained_pooling(whole["cfg"])
    state = stripped_state(whole)
    name = state["cfg"]["model"]["_name"]
    family = str(models.ARCH_MODEL_NAME_REGISTRY.get(name, name))
    task = state["cfg"]["task"]
    name = str(task.get("_name") or task.get("task"))
    return CheckpointInfo(path, state, family, name, flag, pooling)


def as_embedding(info: CheckpointInfo, pooling: str | None) -> CheckpointInfo:
    """Return an encoder whose output is the embedding of a sentence, pooled and normalized.

    Args:
        pooling: one of `POOLINGS`; None: that of `kd_embed`; trained otherwise, nothing changes.
    """
    pooling = pooling or info.pooling
    return info if pooling is None else replace(info, task=EMBEDDING, pooling=pooling)


def data_folder(info: CheckpointInfo, data: Path | None) -> Path:
    """Return the folder of the dictionaries: `data`, or that of the training run.

    Raises:
        ValueError: no such folder.
    """
    recorded = str(info.state["cfg"]["task"].get("data")).split(":")[0]
    folder = data or Path(recorded)
    if not folder.is_dir():
        where = "" if data else " (of the training run)"
        raise ValueError(f"--data {folder}{where}: expected a folder with dict.*.txt, got none")
    return folder


def load_model(info: CheckpointInfo, data: Path) -> LoadedModel:
    """Build the task and the model.

    Args:
        data: the folder of the dictionaries.
    Raises:
    ValueError: dictionaries are missing, of another size, or not those that the checkpoint was
        trained with; or fairseq cannot load the model.
    """
    overrides = {"data": str(data), "eval_bleu": False, "load_checkpoint_heads": True}
    files = [str(info.path)]
    try:
        (model,), _, task = checkpoint_utils.load_model_ensemble_and_task(files, overrides)
    except (FileNotFoundError, AssertionError) as error:
        raise ValueError(
            f"--data {data}: expected the dictionaries of {info.named}: {reason_of(error)}"
        ) from error
    except Exception as error:  # tasks and models raise exceptions of many types
        raise ValueError(
            f"{info.named} with --data {data}: fairseq cannot load it: {reason_of(error)}"
        ) from error
    if info.state:  # a benchmark opens a model again, that was checked when it was exported
        trained = info.state["cfg"]["task"]
        check_trained_with((info.flag, info.path), trained, task, f"--data {data}")
    return LoadedModel(info, data, task, model.eval())
