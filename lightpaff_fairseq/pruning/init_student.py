"""Initialize a student from its teacher: some of its layers, some of its dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairseq import tasks
from fairseq.modules import SinusoidalPositionalEmbedding
from fairseq.tasks import FairseqTask
from torch import Tensor

from ..checkpoints.building import apply_arch_defaults, build, heads_in, load_weights, value_of
from ..checkpoints.dictionaries import check_trained_with
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.state_dict import first_mismatch
from ..checkpoints.strip import stripped_state, to_primitive
from ..checkpoints.writing import check_output, verify_loads, write_checkpoint
from ..flags import at_least, flag, range_problems
from ..problems import Problems, reason_of
from .layer_choice import IMPORTANCE, by_importance, without_importance
from .one_shot import MEASURES, Sample, importances, magnitudes, zeros
from .sizes import Layout, plan_layout
from .student_config import check_arch, parse_student
from .transfer import choose_units, teacher_tensors, transfer


@dataclass(frozen=True)
class StudentRequest:
    """The teacher's checkpoint, and the student to initialize from it."""

    teacher: Path = flag("fairseq checkpoint to read", metavar="FILE")
    arch: str = flag("the student's, as for fairseq-train", metavar="ARCH")
    out: Path = flag("checkpoint to write", metavar="FILE")
    layers: str = flag(
        "teacher layers to copy: uniform (every n-th, n = teacher / student layers, rounded "
        "down), first, last, importance (those with the largest effect on the loss of some "
        "batches), or as many as the student has, counted from 1, as 2,4,6",
        default="uniform",
        metavar="MAP",
    )
    decoder_layers_map: str | None = flag("the decoder's (None: as --layers)", None, metavar="MAP")
    width_by: str = flag(
        "which dimensions a narrower student keeps: the largest weights, those with the "
        "largest effect on the loss of some batches (weight times gradient), or the first ones",
        default=MEASURES[0],
        choices=MEASURES,
    )
    data: str | None = flag(
        "the teacher's data folder (None: where it was trained)", None, metavar="DATA"
    )
    importance_batches: int = flag(
        "to measure on", Sample.batches, metavar="N", expected=at_least(1)
    )
    importance_max_tokens: int = flag(
        "tokens in each of them", Sample.max_tokens, metavar="N", expected=at_least(1)
    )
    importance_split: str = flag("where they are from", Sample.split, metavar="SPLIT")
    force: bool = flag("overwrite --out (default: refuse)", default=False)

    @property
    def sample(self) -> Sample:
        return Sample(self.importance_batches, self.importance_max_tokens, self.importance_split)

    @property
    def needs_importance(self) -> bool:
        return IMPORTANCE in (self.width_by, self.layers, self.decoder_layers_map)

    def maps(self, sides: tuple[str, ...]) -> dict[str, tuple[str, str]]:
        """Return (flag, map) of layers for each of encoder and decoder that the model has.

        Raises:
            ValueError: there is a map for a decoder and no decoder.
        """
        maps = dict.fromkeys(sides, ("--layers", self.layers))
        if self.decoder_layers_map is not None:
            if "decoder" not in maps:
                raise ValueError("--decoder-layers-map: the teacher has no decoder")
            maps["decoder"] = ("--decoder-layers-map", self.decoder_layers_map)
        return maps

    def check(self) -> None:
        """Check the flags.

        Raises:
            ValueError: lists all problems.
        """
        check_output(self.out, self.force, self.teacher, "--teacher")
        problems = Problems()
        problems.unless(
            self.width_by in MEASURES,
            f"--width-by: expected one of {', '.join(MEASURES)}, got {self.width_by!r}",
        )
        problems.extend(range_problems(self))
        folders = [] if self.data is None else self.data.split(":")
        problems.unless(
            all(Path(x).is_dir() for x in folders), f"--data {self.data}: no such folder"
        )
        problems.raise_if_any()


def init_student(request: StudentRequest, flags: Sequence[str] = ()) -> list[str]:
    """Write the checkpoint of a student with its teacher's weights.

    It holds what `lightpaff strip` keeps, and loads with `--finetune-from-model`. At the teacher's
    depth and width it computes the teacher's function; copied layers are equal bit by bit unless
    they became narrower (see `transfer`).

    Args:
        flags: the student's own flags, as for fairseq-train.
    Returns:
        lines that say what was made of what.
    Raises:
        ValueError: before anything is built, all that is wrong with the request; then what does
            not fit between the two models.
    """
    request.check()
    state = read_checkpoint(request.teacher, "--teacher")
    cfg = state["cfg"]
    sides = check_arch(request.arch, cfg.model)
    apply_arch_defaults(cfg.model)
    folder = request.data or str(value_of(cfg.task, "data"))
    student_cfg = parse_student(request.arch, flags, cfg, folder)
    maps = request.maps(sides)
    layout = plan_layout(cfg.model, student_cfg.model, without_importance(maps))
    task = _set_up(student_cfg.task, folder, request.data is not None)
    if request.data is not None:
        check_trained_with(("--teacher", request.teacher), cfg.task, task, f"--data {request.data}")
    teacher = _load(request.teacher, state, task)
    scores = importances(teacher, task, cfg, request.sample) if request.needs_importance else {}
    layout = plan_layout(cfg.model, student_cfg.model, by_importance(maps, layout, scores))
    heads = layout.narrower_heads(heads_in(teacher.state_dict()))
    student = build(student_cfg.model, task, heads, f"--arch {request.arch}")
    tensors = teacher_tensors(teacher, student)
    kept = choose_units(_measure(request, teacher, scores), tensors, student, layout)
    state["model"] = transfer(tensors, student, layout, kept)
    _write(request, state, student_cfg, task)
    return _report(request, layout, teacher, student)


def _set_up(task_cfg: Any, folder: str, is_given: bool) -> FairseqTask:
    """Set up the task, for its dictionaries.

    Raises:
        ValueError: they are not in the folder.
    """
    try:
        return tasks.setup_task(task_cfg)
    except Exception as error:  # whatever a task of any kind raises
        where = f"--data {folder}" if is_given else f"{folder}, where the teacher was trained"
        raise ValueError(
            f"--data: the teacher's dictionaries were not found in {where}: {reason_of(error)}"
        ) from error


def _load(path: Path, state: dict[str, Any], task: FairseqTask) -> Any:
    cfg, tensors = state["cfg"].model, state["model"]
    model = build(cfg, task, heads_in(tensors), f"--teacher {path}")
    mismatch = first_mismatch(tensors, model)
    if mismatch and "embed_tokens" in mismatch:
        raise ValueError(f"--data: not the dictionaries that {path} was trained with: {mismatch}")
    load_weights(model, tensors, cfg, f"--teacher {path}")
    return model


def _measure(request: StudentRequest, teacher: Any, scores: dict[str, Tensor]) -> dict[str, Tensor]:
    if request.width_by == IMPORTANCE:
        return scores
    return magnitudes(teacher) if request.width_by == "magnitude" else zeros(teacher)


def _write(
    request: StudentRequest, state: dict[str, Any], student_cfg: Any, task: FairseqTask
) -> None:
    cfg = to_primitive(state["cfg"], "cfg")
    cfg |= {part: to_primitive(student_cfg[part], f"cfg.{part}") for part in ("model", "task")}
    history = [{**state["optimizer_history"][-1], "num_updates": 0}]
    expected = stripped_state({**state, "cfg": cfg, "optimizer_history": history})
    write_checkpoint(expected, request.out, partial(verify_loads, expected, task))


def _report(request: StudentRequest, layout: Layout, teacher: Any, student: Any) -> list[str]:
    before, after = (sum(p.numel() for p in model.parameters()) for model in (teacher, student))
    lines = [
        f"{request.teacher} ({before:,} parameters) -> {request.out} ({after:,} parameters)",
    ]
    sinusoidal = {
        name.split(".")[0]
        for name, module in student.named_modules()
        if isinstance(module, SinusoidalPositionalEmbedding)
    }
    for side in layout.student:
        (t, s), chosen = layout.sizes_of(side), [str(i + 1) for _, i in layout.layers[side]]
        lines.append(
            f"{side}: layers {','.join(chosen)} of {t.layers}; width {s.width} of {t.width}; heads "
            f"{s.heads} x {s.head_dim} of {t.heads} x {t.head_dim}; FFN {s.ffn} of {t.ffn}"
        )
        if side in sinusoidal and s.width < t.width:
            lines.append(
                f"{side}: sinusoidal positions are a formula of the width, so the student's are "
                f"not the teacher's; --{side}-learned-pos copies the teacher's into a table"
            )
    return lines
