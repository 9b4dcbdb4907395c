"""The part of a training that prunes: it observes gradients, chooses units and masks the rest."""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .axes import kind_of
from .importance import Importance, unit_sums
from .layer_norm import KeptDimensions, make_maskable
from .masks import Masks
from .optimizer_weights import Weight, optimized_weights, sensitivity
from .plan import Plan
from .prune_schedule import Schedule
from .selection import select_units

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """How units are scored and when: see `Importance` and `Schedule`."""

    schedule: Schedule
    importance: str
    decay: float
    uncertainty_decay: float


class Pruner:
    """Prunes a model in training by a plan.

    Args:
        model: maskable, see `make_model_maskable`; its parameters are changed in place.
        plan: what becomes of it.
        method: how and when.
    """

    def __init__(self, model: nn.Module, plan: Plan, method: Method) -> None:
        self.model, self.plan, self.method = model, plan, method
        self.schedule = method.schedule
        self.masks = Masks.of(model, plan.groups)
        self.importance = Importance(method.importance, method.decay, method.uncertainty_decay)
        self._parameters = dict(model.named_parameters())
        self._is_checked = False
        self.is_finished = plan.is_idle()
        self._sparsity: tuple[Any, float] = (None, 0.0)  # of which masks it is

    def before_step(self, optimizer: Any, update: int) -> None:
        """Observes the gradients of the update which makes `update` of them."""
        if self.plan.is_idle() or not self.importance.needs_gradients or not self._is_due(update):
            return
        self._follow_device()
        values = sensitivity(self._weights(optimizer))
        if values is not None:
            kept = self.masks.kept
            self.importance.observe(unit_sums(values, self.plan.groups.axes, kept), kept)

    @torch.no_grad()
    def after_step(self, optimizer: Any, update: int) -> None:
        """Chooses units if they are due, and zeroes those that are pruned."""
        if self.plan.is_idle() or update < self.schedule.start:
            return
        self._follow_device()
        if self._is_due(update):
            self._choose(self._weights(optimizer), update)
        elif not self.masks.is_complete:
            self.masks.apply(self._weights(optimizer))

    def _is_due(self, update: int) -> bool:
        """By the schedule; or the last evaluation found no finite gradients."""
        late = update > self.schedule.end and not self.is_finished
        return late or self.schedule.is_due(update)

    def _choose(self, weights: Mapping[str, Weight], update: int) -> None:
        axes, kept = self.plan.groups.axes, self.masks.kept
        magnitudes = {}
        if not self.importance.needs_gradients:
            magnitudes = unit_sums(self.masks.whole(weights), axes, kept)
        scores = self.importance.scores(magnitudes)
        if set(scores) != set(kept):
            return  # no finite gradient has been seen yet
        chosen = select_units(scores, self.plan.layout, self.schedule.remaining(update))
        returned = sum(int((chosen[g] & ~kept[g]).sum()) for g in kept)
        self.importance.keep(kept, chosen)
        self.masks.change(chosen, weights)
        if update >= self.schedule.end:
            self.masks.release()
            self.is_finished = True
            logger.info(f"pruned to the target at update {update}: {self.summary()}")
        else:
            logger.debug(f"pruned at update {update}: {self.summary()}; {returned} returned")

    def _weights(self, optimizer: Any) -> dict[str, Weight]:
        weights = optimized_weights(optimizer, self._parameters)
        if not self._is_checked:
            self._check_shapes(weights)
            self._is_checked = True
        return weights

    def _check_shapes(self, weights: Mapping[str, Weight]) -> None:
        sizes = self.plan.groups.sizes
        for name, groups in self.plan.groups.axes.items():
            shape = tuple(weights[name].value.shape)
            wanted = [sizes.get(g, n) for g, n in zip(groups, shape, strict=False)]
            if len(shape) != len(groups) or list(shape) != wanted:
                raise ValueError(
                    f"--task prunable_...: {name} has the shape {shape} in the optimizer; sharded "
                    "parameters (--ddp-backend fully_sharded) cannot be pruned"
                )

    def _follow_device(self) -> None:
        device = next(iter(self._parameters.values())).device
        if next(iter(self.masks.kept.values())).device != device:
            self.masks.to(device)
            self.importance.load(self.importance.state(), device)

    def sparsity(self) -> float:
        """The part of the model's parameters that is pruned, 0 to 1."""
        kept = self.masks.kept
        if self._sparsity[0] is not kept:
            counts = {group: int(mask.sum()) for group, mask in kept.items()}
            left = total = 0
            for name, groups in self.plan.groups.axes.items():
                shape = self._parameters[name].shape
                total += math.prod(shape)
                left += math.prod(counts.get(g, n) for g, n in zip(groups, shape, strict=True))
            self._sparsity = (kept, 1 - left / total)
        return self._sparsity[1]

    def summary(self) -> str:
        """How many units of each kind are kept."""
        counts: dict[str, list[int]] = {}
        for group, kept in self.masks.kept.items():
            pair = counts.setdefault(kind_of(group), [0, 0])
            pair[0] += int(kept.sum())
            pair[1] += len(kept)
        return ", ".join(f"{kind} {kept} of {all_}" for kind, (kept, all_) in counts.items())

    # what a checkpoint holds

    def identity(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one before."""
        method = asdict(self.method)
        layout = self.plan.layout
        sizes = {side: asdict(s) for side, s in layout.student.items()}
        return {**method.pop("schedule"), **method, "student": sizes}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, and `lightpaff compact`."""
        return {
            "identity": self.identity(),
            "kept": self.masks.kept,
            "held": self.masks.held,
            "is_finished": self.is_finished,
            **self.importance.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continues from what `state` gave.

        Raises:
            ValueError: another plan; every difference is named.
        """
        wanted, found = self.identity(), state["identity"]
        differences = [
            f"{name} {found.get(name)} in the checkpoint, {value} here"
            for name, value in wanted.items()
            if found.get(name) != value
        ]
        if differences:
            raise ValueError(
                "resuming with other --prune-... flags (or another --max-update, of which "
                f"--prune-start and --prune-end may be fractions): {'; '.join(differences)}"
            )
        device = next(iter(self._parameters.values())).device
        self.is_finished = state["is_finished"]
        self.masks.set_kept(state["kept"])
        self.masks.held = dict(state["held"])
        self.masks.to(device)
        self.importance.load(state, device)

    def check_start(self) -> None:
        """Refuses to train a model that is masked already by something else.

        Raises:
            ValueError: the model was loaded from a run whose pruning state was not.
        """
        for group, norms in self.masks.norms.items():
            kept: Tensor = self.masks.kept[group]
            if any(not torch.equal(norm.kept.cpu(), kept.cpu()) for norm in norms):
                raise ValueError(
                    "the training would start from a model that is pruned already (a checkpoint "
                    "of a prunable task): make it small with lightpaff compact first; to resume "
                    "a run, give its --save-dir and neither --reset-dataloader nor "
                    "--finetune-from-model"
                )


def make_model_maskable(model: nn.Module) -> None:
    """Lets every LayerNorm of a model leave out dimensions; it computes as before until then."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm) and not isinstance(module, KeptDimensions):
            make_maskable(module)
