"""Models that a checkpoint's configuration describes: built, with their classification heads."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import fairseq.models as models
from omegaconf import OmegaConf, open_dict
from torch import Tensor

from .checkpoint import check_equal_tensors
from .layout import Layout, value_of


def fill_in(model_cfg: Any) -> None:
    """Gives a model section the defaults of its architecture, as building the model does."""
    name = value_of(model_cfg, "_name") or value_of(model_cfg, "arch")
    if name in models.ARCH_CONFIG_REGISTRY and name not in models.MODEL_DATACLASS_REGISTRY:
        with writable(model_cfg):
            models.ARCH_CONFIG_REGISTRY[name](model_cfg)


def writable(cfg: Any) -> AbstractContextManager[Any]:
    """Inside, a section of a configuration takes new keys."""
    context: AbstractContextManager[Any] = (
        open_dict(cfg) if OmegaConf.is_config(cfg) else nullcontext()
    )
    return context


def build(cfg: Any, task: Any, heads: Mapping[str, tuple[int, int]], what: str) -> Any:
    """The model of a model section, with classification heads of (classes, inner width)."""
    try:
        model = models.build_model(cfg, task)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(f"{what}: fairseq cannot build this model: {error}") from error
    for name, (classes, inner) in heads.items():
        model.register_classification_head(name, num_classes=classes, inner_dim=inner)
    return model.eval()


def heads_in(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """(classes, inner width) of each classification head of a state dict, by its name."""
    ends, start = (".out_proj.weight", ".dense.weight"), "classification_heads."
    names = [n[len(start) : -len(ends[0])] for n in tensors if n.startswith(start) and ends[0] in n]
    return {
        n: (len(tensors[start + n + ends[0]]), len(tensors[start + n + ends[1]])) for n in names
    }


def narrower_heads(
    heads: Mapping[str, tuple[int, int]], layout: Layout
) -> dict[str, tuple[int, int]]:
    """The student's heads: one as wide inside as the model stays so, as fairseq builds it."""
    teacher, student = (sizes.get("encoder") for sizes in (layout.teacher, layout.student))
    if teacher is None or student is None:
        return {}
    return {n: (c, student.width if i == teacher.width else i) for n, (c, i) in heads.items()}


def verify_loads(expected: dict[str, Any], task: Any, found: dict[str, Any]) -> None:
    """Compares all that was read back, and loads it into the model that its configuration says."""
    check_equal_tensors(expected["model"], found["model"])
    if found["cfg"] != expected["cfg"]:
        raise ValueError("the configuration was not read back as it was written")
    cfg = OmegaConf.create(found["cfg"]["model"])
    model = build(cfg, task, heads_in(found["model"]), "--out")
    model.load_state_dict(dict(found["model"]), strict=True, model_cfg=cfg)
    check_equal_tensors(expected["model"], dict(model.state_dict()))
