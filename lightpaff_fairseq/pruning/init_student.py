"""A student that starts as a part of its teacher: some of its layers, some of its dimensions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fairseq import tasks
from fairseq.modules import SinusoidalPositionalEmbedding
from fairseq.tasks import FairseqTask
from torch import Tensor

from ..checkpoints.building import apply_arch_defaults, build, heads_in, value_of
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.state_dict import first_mismatch
from ..checkpoints.strip import stripped_state, to_primitive
from ..checkpoints.writing import check_output, verify_loads, write_checkpoint
from .one_shot import MEASURES, Sample, importances, magnitudes, nothing
from .sizes import Layout, narrower_heads, plan_layout
from .student_config import check_arch, parse_student
from .transfer import teacher_tensors, transfer


@dataclass(frozen=True)
class StudentInit:
    """What to make; the names are those of the flags of `lightpaff init-student`.

    Attributes:
        flags: the student's own flags, as for fairseq-train.
        layers: `first`, `last`, `uniform` or teacher layers counted from 1, of the encoder and the
            decoder; `decoder_layers`: the decoder's, if they are others.
        width_by: which dimensions a narrower student keeps, see `MEASURES`.
        data: folder with the teacher's dictionaries (and data); None: where it was trained.
    """

    teacher: Path
    out: Path
    arch: str
    flags: tuple[str, ...] = ()
    layers: str = "uniform"
    decoder_layers: str | None = None
    width_by: str = "magnitude"
    data: str | None = None
    sample: Sample = field(default_factory=Sample)
    overwrite: bool = False

    def maps(self, sides: tuple[str, ...]) -> dict[str, tuple[str, str]]:
        """(flag, map) of layers, for each side that the model has.

        Raises:
            ValueError: there is a map for a decoder and no decoder.
        """
        found = dict.fromkeys(sides, ("--layers", self.layers))
        if self.decoder_layers is not None:
            if "decoder" not in found:
                raise ValueError("--decoder-layers-map: the teacher has no decoder")
            found["decoder"] = ("--decoder-layers-map", self.decoder_layers)
        return found


def init_student(wanted: StudentInit) -> list[str]:
    """Writes the checkpoint of a student made of its teacher's weights.

    It holds what `lightpaff strip` keeps, and loads with `--finetune-from-model`. At the teacher's
    depth and width it computes the teacher's function; copied layers are equal bit by bit unless
    they became narrower (see `transfer`).

    Returns:
        lines that say what was made of what.
    Raises:
        ValueError: before anything is built, all that is wrong with the request; then what does
            not fit between the two models.
    """
    _check_request(wanted)
    state = read_checkpoint(wanted.teacher, "--teacher")
    cfg = state["cfg"]
    sides = check_arch(wanted.arch, cfg.model)
    apply_arch_defaults(cfg.model)
    folder = wanted.data or str(value_of(cfg.task, "data"))
    ours = parse_student(wanted.arch, wanted.flags, cfg, folder)
    layout = plan_layout(cfg.model, ours.model, wanted.maps(sides))
    task = _set_up(ours.task, folder, wanted.data is not None)
    teacher = _load(wanted.teacher, state, task)
    heads = narrower_heads(heads_in(teacher.state_dict()), layout)
    student = build(ours.model, task, heads, f"--arch {wanted.arch}")
    tensors = transfer(
        teacher_tensors(teacher, student), student, layout, _measure(wanted, teacher, task, cfg)
    )
    _write(wanted, state, ours, tensors, task)
    return _report(wanted, layout, (teacher, student))


def _check_request(wanted: StudentInit) -> None:
    check_output(wanted.out, "--out", wanted.overwrite)
    if wanted.out.exists() and wanted.teacher.exists() and wanted.out.samefile(wanted.teacher):
        raise ValueError(f"--out {wanted.out}: is the file of --teacher; choose another name")
    problems = []
    if wanted.width_by not in MEASURES:
        problems.append(
            f"--width-by: expected one of {', '.join(MEASURES)}, found {wanted.width_by!r}"
        )
    for name in ("batches", "max_tokens"):
        value = getattr(wanted.sample, name)
        if value < 1:
            flag = f"--importance-{name.replace('_', '-')}"
            problems.append(f"{flag}: expected 1 or more, found {value}")
    if wanted.data is not None and not all(Path(x).is_dir() for x in wanted.data.split(":")):
        problems.append(f"--data {wanted.data}: no such folder")
    if problems:
        raise ValueError("; ".join(problems))


def _set_up(task_cfg: Any, folder: str, was_given: bool) -> FairseqTask:
    """The task, for its dictionaries.

    Raises:
        ValueError: they are not in the folder.
    """
    try:
        return tasks.setup_task(task_cfg)
    except Exception as error:  # whatever a task of any kind raises
        where = f"--data {folder}" if was_given else f"{folder}, where the teacher was trained"
        raise ValueError(
            f"--data: the teacher's dictionaries were not found in {where}: {error}"
        ) from error


def _load(path: Path, state: dict[str, Any], task: FairseqTask) -> Any:
    cfg, tensors = state["cfg"].model, state["model"]
    model = build(cfg, task, heads_in(tensors), f"--teacher {path}")
    mismatch = first_mismatch(tensors, model)
    if mismatch and "embed_tokens" in mismatch:
        raise ValueError(f"--data: not the dictionaries that {path} was trained with: {mismatch}")
    try:
        model.load_state_dict(tensors, strict=True, model_cfg=cfg)
    except RuntimeError as error:
        raise ValueError(
            f"--teacher {path}: the weights do not fit the model that the checkpoint describes: "
            f"{mismatch or error}"
        ) from error
    return model


def _measure(wanted: StudentInit, teacher: Any, task: FairseqTask, cfg: Any) -> dict[str, Tensor]:
    by: dict[str, Callable[[], dict[str, Tensor]]] = {
        "magnitude": partial(magnitudes, teacher),
        "first": partial(nothing, teacher),
        "importance": partial(importances, teacher, task, cfg, wanted.sample),
    }
    return by[wanted.width_by]()


def _write(
    wanted: StudentInit,
    state: dict[str, Any],
    ours: Any,
    tensors: dict[str, Tensor],
    task: FairseqTask,
) -> None:
    cfg = to_primitive(state["cfg"], "cfg")
    cfg |= {part: to_primitive(ours[part], f"cfg.{part}") for part in ("model", "task")}
    history = [{**state["optimizer_history"][-1], "num_updates": 0}]
    fresh = {"cfg": cfg, "model": tensors, "optimizer_history": history}
    expected = stripped_state({**fresh, "task_state": state.get("task_state")})
    write_checkpoint(expected, wanted.out, partial(verify_loads, expected, task))


def _report(wanted: StudentInit, layout: Layout, pair: tuple[Any, Any]) -> list[str]:
    counts = [sum(p.numel() for p in model.parameters()) for model in pair]
    lines = [
        f"{wanted.teacher} ({counts[0]:,} parameters) -> {wanted.out} ({counts[1]:,} parameters)"
    ]
    for side, s in layout.student.items():
        t, chosen = layout.teacher[side], ",".join(str(i + 1) for _, i in layout.layers[side])
        lines.append(
            f"{side}: layers {chosen} of {t.layers}; width {s.width} of {t.width}; heads {s.heads} "
            f"x {s.head_dim} of {t.heads} x {t.head_dim}; FFN {s.ffn} of {t.ffn}"
        )
        sinusoidal = any(
            isinstance(module, SinusoidalPositionalEmbedding) and name.startswith(side)
            for name, module in pair[1].named_modules()
        )
        if sinusoidal and s.width < t.width:
            lines.append(
                f"{side}: sinusoidal positions are a formula of the width, so the student's are "
                f"not the teacher's; --{side}-learned-pos copies the teacher's into a table"
            )
    return lines
