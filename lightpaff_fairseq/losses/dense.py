"""The losses in plain PyTorch: the reference for `fused.py`, and its fallback.

All functions compute in float32 (float64 stays float64). Shape letters: N positions, V vocabulary
(or classes).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .divergences import Divergence, divergence_of_lprobs, tempered_lprobs
from .model_output import LogitsOutput
from .position_selection import Selection, chosen_positions
from .sampled import SPARSE, SampledOutput, sampled_divergence
from .top_k import TopKOutput, top_k_divergence

FORWARD_KL = Divergence()
DenseTeacher = Tensor | TopKOutput | SampledOutput
# Colder, only the largest logit counts and gradients, which have the factor T, vanish; hotter, the
# differences between probabilities are rounding errors of float32.
TEMPERATURES = (0.001, 1000.0)
TEMPERATURE_WORDS = "a number above 0, from 0.001 to 1000"


@dataclass(frozen=True)
class LossSettings:
    """Weights and options of the distillation loss.

    Attributes:
        kd_lambda: weight of the soft loss, in [0, 1]; the task loss gets `1 - kd_lambda`.
        temperature: divides the logits of both models in the soft loss, > 0; the dense loss
            also takes one per position, `(N,)`.
        label_smoothing: epsilon of the task loss, as fairseq defines it, in [0, 1).
        chunk_tokens: positions per chunk of the fused loss, >= 1: memory grows with it, the result
            does not change.
        divergence: name (a key of `DIVERGENCES`) and beta of the soft loss.
        selection: which positions get the soft loss; None: all.
        accuracy: count correct labels in the fused loss, at the cost of a pass over all logits.
        compiled: use torch.compile for the fused loss. Slower on a CPU; for a GPU see
            `lightpaff benchmark loss --peers fused-compiled`. Training does not use it.
        kernel: what computes the fused loss, one of `kernel_choice.KERNELS`: auto takes Triton on
            CUDA where it is installed. A loss with a `selection`, or compiled, is PyTorch's.
    """

    kd_lambda: float
    temperature: float | Tensor = 1.0
    label_smoothing: float = 0.0
    chunk_tokens: int = 512
    divergence: Divergence = FORWARD_KL
    selection: Selection | None = None
    accuracy: bool = True
    compiled: bool = False
    kernel: str = "auto"


class LossTerms(NamedTuple):
    """Sums over positions, in nats; only `loss` carries a gradient.

    Attributes:
        loss: `(1 - lambda) * task loss + lambda * soft loss`, a scalar.
        nll_loss: `-log p_s(label)`, without label smoothing, a scalar.
        kd_loss: the soft loss before its weight lambda, a scalar.
        n_correct: number of labels that are the student's most probable token, an integer scalar;
            0 from the fused loss if `LossSettings.accuracy` is off.
        aligned: number of positions with a soft loss, for a teacher of another vocabulary.
    """

    loss: Tensor
    nll_loss: Tensor
    kd_loss: Tensor
    n_correct: Tensor
    aligned: int | None = None


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, or `x` itself if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def soft_loss(
    logits_s: Tensor,
    logits_t: Tensor,
    temperature: float | Tensor,
    divergence: Divergence = FORWARD_KL,
) -> Tensor:
    """Return the divergence of student and teacher per position, times temperature squared.

    Args:
        logits_s, logits_t: `(..., V)`, any float dtype; computed in fp32.
        temperature: divides both logits; a number, or `(...)`, one per position.
        divergence: by default KL(teacher || student).
    Returns:
        `(...)`, one non-negative value per position, in nats; the caller masks and sums.
    Source: LightPAFF's soft loss is forward KL at T = 1; temperature as in Hinton et al. 2015;
        for the other divergences see `divergences.py`.
    """
    lprobs_s, lprobs_t = (
        tempered_lprobs(at_least_float32(x), temperature) for x in (logits_s, logits_t)
    )
    return divergence_of_lprobs(lprobs_s, lprobs_t, divergence) * temperature**2


def label_smoothed_nll(logits_s: Tensor, target: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return the cross entropy per position, with and without fairseq's label smoothing.

    Args:
        logits_s: `(N, V)`, any float dtype; computed in fp32.
        target: `(N,)` token indices, without padding.
        epsilon: mass taken from the label and spread over the other V - 1 tokens.
    Returns:
        two `(N,)` tensors in nats: the smoothed loss and `-log p(target)`; the caller sums.
    """
    lprobs = F.log_softmax(at_least_float32(logits_s), dim=-1)
    nll = -lprobs.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    if epsilon == 0:
        return nll, nll
    eps_i = epsilon / (lprobs.size(-1) - 1)
    return (1 - epsilon - eps_i) * nll - eps_i * lprobs.sum(-1), nll


def dense_distillation_loss(
    logits_s: Tensor,
    teacher: DenseTeacher,
    target: Tensor,
    settings: LossSettings,
) -> LossTerms:
    """Compute the distillation loss from complete logits; the gradient is autograd's.

    Args:
        logits_s: `(N, V)`, any float dtype; computed in fp32.
        teacher: its logits `(N, V)`, its top-k probabilities, or draws.
        target: `(N,)` token indices, without padding.
        settings: only weights, temperature, divergence, selection and label smoothing are used.
    Returns:
        `LossTerms`, sums over the N positions.
    Raises:
        ValueError: temperatures per position with a top-k teacher, draws or a selection.
    """
    task_loss, nll = label_smoothed_nll(logits_s, target, settings.label_smoothing)
    kd = _soft_loss(at_least_float32(logits_s), teacher, target, settings)
    loss = (1 - settings.kd_lambda) * task_loss.sum() + settings.kd_lambda * kd.sum()
    n_correct = logits_s.detach().argmax(-1).eq(target).sum()
    return LossTerms(loss, nll.detach().sum(), kd.detach().sum(), n_correct)


def _soft_loss(
    logits_s: Tensor,
    teacher: DenseTeacher,
    target: Tensor,
    settings: LossSettings,
) -> Tensor:
    """Return the soft loss `(N,)`, or `(K,)` at the positions that are selected."""
    temperature, divergence = settings.temperature, settings.divergence
    if isinstance(temperature, Tensor):
        if isinstance(teacher, SPARSE) or settings.selection is not None:
            raise ValueError(
                "temperature: expected a number for a teacher without logits, or with a "
                "selection, got a tensor"
            )
        return soft_loss(logits_s, teacher, temperature, divergence)
    if settings.selection is not None:
        output = teacher if isinstance(teacher, SPARSE) else LogitsOutput(teacher)
        chosen = chosen_positions(logits_s, output, target, settings.selection, temperature)
        logits_s = logits_s[chosen]
        teacher = teacher.at(chosen) if isinstance(teacher, SPARSE) else teacher[chosen]
    if isinstance(teacher, TopKOutput):
        return top_k_divergence(logits_s, teacher, temperature, divergence) * temperature**2
    if isinstance(teacher, SampledOutput):
        return sampled_divergence(logits_s, teacher, temperature, divergence) * temperature**2
    return soft_loss(logits_s, teacher, temperature, divergence)
