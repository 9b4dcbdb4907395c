"""The pruner of a training run: it observes gradients, chooses units and masks the others."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from ..problems import Problems
from .axes import kind_of
from .importance import Importance
from .masks import Masks
from .optimizer_weights import Weight, optimized_weights, sensitivity
from .plan import Plan
from .prune_schedule import Schedule
from .selection import Units, select_units, unit_sums

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """The method and the schedule of scoring: see `Importance` and `Schedule`."""

    schedule: Schedule
    importance: str
    decay: float
    uncertainty_decay: float


class Pruner:
    """Pruning of a model in training by a plan.

    Args:
        model: maskable, see `make_maskable`; its parameters are changed in place.
        plan: what becomes of it.
        method: how and when.
    """

    def __init__(self, model: nn.Module, plan: Plan, method: Method) -> None:
        self.plan, self.method, self.schedule = plan, method, method.schedule
        self.masks = Masks.of(model, plan.groups)
        self.importance = Importance(method.importance, method.decay, method.uncertainty_decay)
        self.is_finished = plan.is_idle()
        self._parameters = dict(model.named_parameters())
        self._has_checked_shapes = False
        self._sparsity: tuple[Units, float] = ({}, 0.0)  # the masks that it belongs to, and it

    def step(self, optimizer: Any, update: int, stock_step: Callable[[], None]) -> None:
        """Make one update: observe its gradients, step, choose units if due, mask the others.

        Args:
            optimizer: fairseq's; gradients are accumulated and clipped.
            update: number of the update, from 1.
            stock_step: the step without pruning, which changes weights in place.
        """
        # after the end only if the last evaluation had no finite gradients
        is_late = update > self.schedule.end and not self.is_finished
        is_due = is_late or self.schedule.is_due(update)
        if self.plan.is_idle() or not (is_due or self.masks.active):
            stock_step()
            return
        self._to(next(iter(self._parameters.values())).device)
        weights = optimized_weights(optimizer, self._parameters)
        if not self._has_checked_shapes:
            self._check_shapes(weights)
        if is_due and self.importance.needs_gradients:
            self._observe(weights)
        stock_step()
        with torch.no_grad():
            if is_due and update >= self.schedule.start:
                self._choose(weights, update)
            else:
                self.masks.apply(weights)

    def _observe(self, weights: Mapping[str, Weight]) -> None:
        values, is_finite = sensitivity(weights)
        if values:
            sums = unit_sums(values, self.plan.groups.axes, self.masks.active)
            self.importance.observe(sums, self.masks.kept, is_finite)

    def _choose(self, weights: Mapping[str, Weight], update: int) -> None:
        kept, magnitudes = self.masks.kept, {}
        if not self.importance.needs_gradients:
            values = self.masks.full_magnitudes(weights)
            magnitudes = unit_sums(values, self.plan.groups.axes, self.masks.active)
        elif not self.importance.has_observed():  # no finite gradient yet
            return
        scores = self.importance.scores(magnitudes)
        remaining = self.schedule.remaining(update)
        chosen = select_units(scores, self.plan.layout, remaining, relative=True)
        self.importance.change_kept(kept, chosen)
        self.masks.change(chosen, weights)
        if update >= self.schedule.end:
            self.masks.pruned_values.clear()  # nothing returns from now on
            self.is_finished = True
            logger.info(f"pruned to the target at update {update}: {self.summary()}")
        elif logger.isEnabledFor(logging.DEBUG):
            returned = sum(int((chosen[g] & ~kept[g]).sum()) for g in kept)
            logger.debug(f"pruned at update {update}: {self.summary()}; {returned} returned")

    def _check_shapes(self, weights: Mapping[str, Weight]) -> None:
        sizes = self.plan.groups.sizes
        for name, groups in self.plan.groups.axes.items():
            shape = tuple(weights[name].value.shape)
            expected = [sizes.get(g, n) for g, n in zip(groups, shape, strict=False)]
            if len(shape) != len(groups) or list(shape) != expected:
                raise ValueError(
                    f"--task prunable_...: {name} has the shape {shape} in the optimizer; sharded "
                    "parameters (--ddp-backend fully_sharded) cannot be pruned"
                )
        self._has_checked_shapes = True

    def _to(self, device: torch.device) -> None:
        if next(iter(self.masks.kept.values())).device != device:
            self.masks.to(device)
            self.importance.load(self.importance.state(), device)

    def sparsity(self) -> float:
        """Return the part of the model's parameters that is pruned, 0 to 1."""
        kept = self.masks.kept
        if self._sparsity[0] is not kept:
            counts = {group: int(mask.sum()) for group, mask in kept.items()}
            total = sum(p.numel() for p in self._parameters.values())
            self._sparsity = (kept, 1 - self.plan.groups.count(self._parameters, counts) / total)
        return self._sparsity[1]

    def summary(self) -> str:
        """Describe the numbers of kept units of each kind."""
        counts: dict[str, list[int]] = {}
        for group, kept in self.masks.kept.items():
            pair = counts.setdefault(kind_of(group), [0, 0])
            pair[0] += int(kept.sum())
            pair[1] += len(kept)
        return ", ".join(f"{kind} {kept} of {size}" for kind, (kept, size) in counts.items())

    def identity(self) -> dict[str, Any]:
        """Return the settings that a resumed run must share."""
        method = asdict(self.method)
        sizes = {side: asdict(s) for side, s in self.plan.layout.student.items()}
        return {**method.pop("schedule"), **method, "student": sizes}

    def state(self) -> dict[str, Any]:
        """Return the state for resumed runs and `lightpaff compact`."""
        return {
            "identity": self.identity(),
            "kept": self.masks.kept,
            "held": self.masks.pruned_values,
            "is_finished": self.is_finished,
            **self.importance.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state`.

        Raises:
            ValueError: another plan; every difference is named.
        """
        stored = state["identity"]
        Problems(
            f"{name} {stored.get(name)} in the checkpoint, {value} here"
            for name, value in self.identity().items()
            if stored.get(name) != value
        ).raise_if_any(
            "resuming with other --prune-... flags (or another --max-update, of which "
            "--prune-start and --prune-end may be fractions): "
        )
        self.is_finished = state["is_finished"]
        self.masks.set_kept(state["kept"])
        self.masks.pruned_values = dict(state["held"])
        device = next(iter(self._parameters.values())).device
        self.masks.to(device)
        self.importance.load(state, device)

    def check_start(self) -> None:
        """Refuse to train a model that is masked already by something else.

        Raises:
            ValueError: the model was loaded from a run whose pruning state was not.
        """
        for group, norms in self.masks.norms.items():
            kept = self.masks.kept[group].cpu()
            if any(not torch.equal(norm.kept.cpu(), kept) for norm in norms):
                raise ValueError(
                    "the training would start from a model that is pruned already (a checkpoint "
                    "of a prunable task): make it small with lightpaff compact first; to resume "
                    "a run, give its --save-dir and neither --reset-dataloader nor "
                    "--finetune-from-model"
                )
