"""The base of all prunable tasks, which implements the --prune-* flags.

A prunable task is a stock task behind `PruningMixin`. Its model is the stock model whose LayerNorms
can leave dimensions out; with nothing pruned, both are the stock ones bit for bit.

No postponed annotations here: fairseq reads the types of the flags.
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Dict, List, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.logging import metrics
from omegaconf import II

from ..flags import Range, at_least, range_problems
from ..problems import Problems
from ..pruning.importance import KINDS
from ..pruning.layer_norm import make_maskable
from ..pruning.plan import make_plan
from ..pruning.prune_schedule import Schedule, update_number
from ..pruning.pruner import Method, Pruner
from ..pruning.target import WAYS, WIDTH, Target

logger = logging.getLogger(__name__)


UPDATE = Range("0 or more", 0)
DECAY = Range("0 to below 1", 0, 1 - 1e-9)


@dataclass
class PruningConfig(FairseqDataclass):
    """Flags of all prunable tasks."""

    prune_target_width: Optional[float] = field(
        default=None,
        metadata={
            "help": "what is left of the width, of FFN units and attention dimensions: up to 1 a "
            "ratio (1 = off), above 1 the width itself; rounded, see lightpaff prune-plan",
            "expected": WIDTH,
        },
    )
    prune_target_params: Optional[str] = field(
        default=None,
        metadata={"help": "instead: the number of parameters of the small model, as 17.3M"},
    )
    prune_start: float = field(
        default=0.0,
        metadata={
            "help": "update after which units are pruned; up to 1 a fraction of --max-update",
            "expected": UPDATE,
        },
    )
    prune_end: float = field(
        default=0.7,
        metadata={
            "help": "update at which the target is reached; up to 1 a fraction of --max-update",
            "expected": UPDATE,
        },
    )
    prune_interval: int = field(
        default=10,
        metadata={
            "help": "updates between two evaluations, in which units are pruned or return",
            "expected": at_least(1),
        },
    )
    prune_importance: ChoiceEnum(KINDS) = field(  # type: ignore[valid-type]
        default="sensitivity",
        metadata={
            "help": "which units stay: sensitivity: average of |weight * gradient|; platon: that "
            "times its uncertainty; magnitude: sum of |weight|"
        },
    )
    prune_decay: float = field(
        default=0.85,
        metadata={
            "help": "of the moving average of sensitivity, per evaluation, 0 to below 1",
            "expected": DECAY,
        },
    )
    prune_uncertainty_decay: float = field(
        default=0.95,
        metadata={
            "help": "of the moving average of uncertainty (platon), 0 to below 1",
            "expected": DECAY,
        },
    )
    prune_multiple: int = field(
        default=8,
        metadata={
            "help": "width and FFN units become multiples of this; 1 = off",
            "expected": at_least(1),
        },
    )
    prune_attention: ChoiceEnum(WAYS) = field(  # type: ignore[valid-type]
        default="auto",
        metadata={
            "help": "what attention loses: the same number of dimensions in every head, or whole "
            "heads; auto: whichever comes closer to the target, dimensions if both"
        },
    )
    max_update: int = II("optimization.max_update")
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    restore_file: str = II("checkpoint.restore_file")


class PruningMixin:
    """Pruning for the stock task that follows it in a class's bases."""

    pruning: PruningConfig
    pruner: Optional[Pruner] = None
    _is_checked: bool = False

    @classmethod
    def setup_task(cls, cfg: Any, **kwargs: Any) -> Any:
        """Set up the stock task; --prune-* settings are checked when its model is built."""
        task = super().setup_task(cfg, **kwargs)  # type: ignore[misc]
        task.pruning = cfg
        return task

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build the stock model, maskable; for a training also the plan.

        Raises:
            ValueError: flags out of range, or a model that cannot be pruned to the target.
        """
        method = None if from_checkpoint else method_of(self.pruning)
        model = super().build_model(cfg, from_checkpoint)  # type: ignore[misc]
        make_maskable(model)
        if method is not None:
            plan = make_plan(model, cfg, target_of(self.pruning))
            self.pruner = Pruner(model, plan, method)
            before, after = plan.parameters
            logger.info(f"pruning {before:,} parameters to {after:,}: {dict(plan.layout.student)}")
            self._warn_of_a_random_start()
        return model

    def _warn_of_a_random_start(self) -> None:
        cfg = self.pruning
        if cfg.finetune_from_model is None and cfg.restore_file == "checkpoint_last.pt":
            logger.warning(
                "no --finetune-from-model: unless this run is resumed, what is pruned has random "
                "weights; the student is meant to start as its teacher"
            )

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        """Make the stock step."""
        if self.pruner is not None and not self._is_checked:
            self.pruner.check_start()
            self._is_checked = True
        return super().train_step(*args, **kwargs)  # type: ignore[misc]

    def optimizer_step(self, optimizer: Any, model: Any, update_num: int) -> None:
        """Make the stock step, and prune."""
        stock_step = partial(super().optimizer_step, optimizer, model, update_num)  # type: ignore[misc]
        if self.pruner is None:
            stock_step()
        else:
            self.pruner.step(optimizer, update_num + 1, stock_step)

    def reduce_metrics(self, logging_outputs: List[dict[str, Any]], criterion: Any) -> None:
        """Log the stock metrics; in training also `prune_sparsity`, the part of all parameters."""
        super().reduce_metrics(logging_outputs, criterion)  # type: ignore[misc]
        if self.pruner is not None and criterion.training:
            # weight 0: the present value is logged, no mean over the interval
            sparsity = self.pruner.sparsity()
            metrics.log_scalar("prune_sparsity", sparsity, weight=0, round=4)

    def get_checkpoint_dict(self) -> Dict[str, Any]:
        """Return what fairseq stores of the task in a checkpoint."""
        return {} if self.pruner is None else {type(self).__name__: self.pruner.state()}

    def set_checkpoint_dict(self, state: Dict[str, Any]) -> None:
        """Restore the result of `get_checkpoint_dict` in a resumed run."""
        if self.pruner is not None:
            self.pruner.load(state)


def target_of(cfg: PruningConfig) -> Target:
    """Return the target of the --prune-* flags."""
    return Target(
        cfg.prune_target_width,
        cfg.prune_target_params,
        cfg.prune_multiple,
        str(cfg.prune_attention),
        "--prune-",
    )


def method_of(cfg: PruningConfig) -> Method:
    """Return how and when to prune, from the flags.

    Raises:
        ValueError: lists every flag that is out of range, those of the target too.
    """
    problems = target_of(cfg).problems()
    interval = cfg.prune_interval
    known = set(problems.messages)
    problems.extend(x for x in range_problems(cfg, PruningConfig) if x not in known)
    problems.extend(_schedule_problems(cfg))
    problems.raise_if_any()
    start, end = (update_number(x, cfg.max_update) for x in (cfg.prune_start, cfg.prune_end))
    importance = str(cfg.prune_importance)
    return Method(
        Schedule(start, end, interval), importance, cfg.prune_decay, cfg.prune_uncertainty_decay
    )


def _schedule_problems(cfg: PruningConfig) -> Problems:
    problems = Problems()
    values = {"--prune-start": cfg.prune_start, "--prune-end": cfg.prune_end}
    for flag, value in values.items():
        if value not in UPDATE:  # reported already
            return problems
        if cfg.max_update < 1 and 0 < value <= 1:
            problems.add(f"{flag} {value}: is a fraction of --max-update, which is not given")
    if problems or cfg.max_update < 1:
        return problems
    start, end = (update_number(value, cfg.max_update) for value in values.values())
    problems.unless(
        start <= end,
        f"--prune-start {cfg.prune_start}: expected at most --prune-end (update {end} of "
        f"{cfg.max_update}), got update {start}",
    )
    problems.unless(
        1 <= end <= cfg.max_update,
        f"--prune-end {cfg.prune_end}: expected an update from 1 to --max-update "
        f"({cfg.max_update}), got {end}: the target would never be reached",
    )
    return problems
