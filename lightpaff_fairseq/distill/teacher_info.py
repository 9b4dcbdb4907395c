"""What a plan needs to know about a teacher."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ..checkpoints.building import apply_arch_defaults, value_of
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.strip import stock_config, to_primitive
from ..evaluation.model_rows import count_parameters
from ..pruning.sizes import FAMILIES, Sizes, family_of, sizes_in

CRITERIONS = {"translation": "kd_ss", "language_modeling": "kd_lm", "sentence_prediction": "kd_lu"}
PRETRAINING = {
    "translation": ("masked_seq2seq", "kd_mssm"),
    "language_modeling": ("language_modeling", "kd_clm"),
    "sentence_prediction": ("masked_lm", "kd_mlm"),
}


@dataclass(frozen=True)
class TeacherInfo:
    """The content of a teacher's checkpoint.

    Attributes:
        arch: name for `--arch`; with the flags of `section_flags` it gives the teacher's model.
        family: fairseq's name of the model; `sides`: encoder, decoder or both.
        task: name of its task; `model`, `task_section`: sections of its configuration.
        params: number of parameters, tied ones once; full_params: before the vocabulary was cut.
        tensors: its state dict.
    """

    path: Path
    arch: str
    family: str
    task: str
    model: Any
    task_section: Any
    cfg: Any
    params: int
    full_params: int
    vocabulary: int
    tensors: dict[str, Any]

    @property
    def sides(self) -> tuple[str, ...]:
        return FAMILIES[self.family]

    @property
    def student_family(self) -> str:
        """fairseq's name of the student's model: a stock one, which can be served."""
        return "roberta" if self.family == "bert" else self.family

    def sizes(self, side: str) -> Sizes:
        """Return the sizes of its encoder or decoder."""
        return sizes_in(self.model, side)


def inspect_teacher(path: Path, flag: str) -> TeacherInfo:
    """Read a teacher.

    Raises:
        ValueError: the file cannot be used, or it is of a model family that students cannot be
            cut out of.
    """
    state = read_checkpoint(path, flag)
    cfg = state["cfg"]
    OmegaConf.resolve(cfg)  # a task's section refers to others
    family = family_of(cfg.model, flag)
    apply_arch_defaults(cfg.model)
    stock = stock_config(to_primitive(cfg, "cfg"))
    task = str(stock["task"].get("_name") or stock["task"].get("task"))
    arch = str(value_of(cfg.model, "_name") or value_of(cfg.model, "arch"))
    tables = [t for name, t in state["model"].items() if name.endswith("embed_tokens.weight")]
    return TeacherInfo(
        path=path,
        arch=arch,
        family=family,
        task=task,
        model=cfg.model,
        task_section=cfg.task,
        cfg=cfg,
        params=(params := count_parameters(state["model"])),
        full_params=params,
        vocabulary=len(tables[0]) if tables else 0,
        tensors=state["model"],
    )


def criterion_of(teacher: TeacherInfo) -> str:
    """Return the criterion of fine-tuning for a teacher's task.

    Raises:
        ValueError: the task has none.
    """
    if teacher.task not in CRITERIONS:
        raise ValueError(
            f"--teacher {teacher.path}: expected a teacher of one of the tasks "
            f"{', '.join(CRITERIONS)}, got {teacher.task}"
        )
    return CRITERIONS[teacher.task]
