"""A checkpoint that is to be exported: its model, its task, and what both are called."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils, models
from fairseq.data import Dictionary

from ..checkpoints.reading import read_checkpoint
from ..checkpoints.strip import stripped_state

TRANSLATION, LANGUAGE_MODELING = "translation", "language_modeling"
CLASSIFICATION, MASKED_LM = "sentence_prediction", "masked_lm"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint holds.

    Attributes:
        state: the checkpoint as `lightpaff strip` would write it: plain, with stock names.
        family: fairseq's model, as `transformer`; `task`: its task, as `translation`.
        flag: that named it.
    """

    path: Path
    state: dict[str, Any]
    family: str
    task: str
    flag: str = "--path"

    @property
    def named(self) -> str:
        """Flag and file, for messages."""
        return f"{self.flag} {self.path}"


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint with its model in eval mode on the CPU, and its task with dictionaries."""

    info: CheckpointInfo
    data: Path
    task: Any
    model: Any

    def dictionaries(self) -> dict[str, Dictionary]:
        """File name -> dictionary, as fairseq names them in DATA."""
        kind, task = self.info.task, self.task
        if kind == TRANSLATION:
            source, target = task.cfg.source_lang, task.cfg.target_lang
            found = {source: task.source_dictionary, target: task.target_dictionary}
            return {f"dict.{language}.txt": found[language] for language in found}
        if kind == CLASSIFICATION and not task.cfg.regression_target:
            return {"dict.txt": task.source_dictionary, "dict.label.txt": task.label_dictionary}
        return {"dict.txt": task.source_dictionary}


def inspect_checkpoint(path: Path, flag: str = "--path") -> CheckpointInfo:
    """Reads a checkpoint that `flag` named.

    Raises:
        ValueError: it is missing, unusable, or a pruned model that is not compacted yet.
    """
    state = stripped_state(read_checkpoint(path, flag))
    name = state["cfg"]["model"]["_name"]
    family = str(models.ARCH_MODEL_NAME_REGISTRY.get(name, name))
    task = state["cfg"]["task"]
    return CheckpointInfo(path, state, family, str(task.get("_name") or task.get("task")), flag)


def data_folder(info: CheckpointInfo, data: Path | None) -> Path:
    """The folder of the dictionaries: `data`, or where the checkpoint says it was trained.

    Raises:
        ValueError: no such folder.
    """
    if data is None:
        recorded = str(info.state["cfg"]["task"].get("data")).split(":")[0]
        data, said = Path(recorded), "(where the checkpoint was trained)"
    else:
        said = ""
    if not data.is_dir():
        raise ValueError(
            f"--data {data}{said and ' ' + said}: expected a folder with dict.*.txt, found none"
        )
    return data


def load_model(info: CheckpointInfo, data: Path) -> LoadedModel:
    """Builds the task and the model.

    Args:
        data: the folder of the dictionaries.
    Raises:
        ValueError: the dictionaries are not there or of another size, or fairseq cannot build it.
    """
    overrides = {"data": str(data), "eval_bleu": False, "load_checkpoint_heads": True}
    files = [str(info.path)]
    try:
        (model,), _, task = checkpoint_utils.load_model_ensemble_and_task(files, overrides)
    except (FileNotFoundError, AssertionError) as error:
        raise ValueError(
            f"--data {data}: expected the dictionaries of {info.named}, found none: {error}"
        ) from error
    except Exception as error:  # whatever a task or model of any kind raises
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{info.named} with --data {data}: fairseq cannot load it: {reason}"
        ) from error
    return LoadedModel(info, data, task, model.eval())
