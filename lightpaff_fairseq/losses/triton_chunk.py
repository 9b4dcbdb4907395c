"""Loss and gradient of one chunk through the Triton kernels, as `chunk.py` computes them in torch.

Shape letters: n positions, k tokens of a top-k teacher, V vocabulary.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import triton_kernel, triton_top_k
from .chunk import ChunkSums, Labels, smoothing_share
from .dense import LossSettings
from .divergences import value_and_gradient

# Tokens per block and warps, by vocabulary: all there is, since a kernel that overwrites its input
# cannot be tried out on it by an autotuner. A smaller vocabulary is one block, of a power of two.
BLOCKS = ((1024, 4), (4096, 8))
# Largest |soft gradient| of a divergence per unit of lambda * T, for the scale of float16: 1 but
# for those with log(s / t) or log(1 / skew). Beyond it gradients are cut at float16's largest.
LOG_BOUND = 256.0


class Block(NamedTuple):
    """Tokens that a program reads at once, and its warps."""

    size: int
    warps: int


def block_of(vocab: int) -> Block:
    """Return the block of a vocabulary."""
    small, large = BLOCKS
    if vocab > small[0]:
        return Block(*large)
    return Block(max(16, 1 << (vocab - 1).bit_length()), small[1])


def gradient_scale(dtype: torch.dtype, settings: LossSettings) -> float:
    """Return the power of two by which a gradient is multiplied before it is rounded to `dtype`.

    1 but for float16, whose smallest number is 6e-8: there as large as leaves a factor of four to
    its largest number, so that probabilities down to 1e-11 count before any loss scale.
    """
    if dtype != torch.float16:
        return 1.0
    lam, kind = settings.kd_lambda, settings.divergence.kind
    bound = LOG_BOUND if kind in ("reverse_kl", "skew_reverse_kl") else 1.0
    largest = lam * float(settings.temperature) * bound + 1 - lam
    return 2.0 ** math.floor(14 - math.log2(largest))


def triton_chunk_loss(
    logits_s: Tensor,
    teacher: Tensor | tuple[Tensor, Tensor],
    labels: Labels,
    settings: LossSettings,
) -> ChunkSums:
    """Compute loss and gradient of one chunk.

    Args:
        logits_s: `(n, V)` of a dtype of `kernel_choice.DTYPES`, rows contiguous; overwritten by the
            gradient times `gradient_scale`, without the constant that `fused.py` subtracts for
            label smoothing.
        teacher: logits `(n, V)`, of any of these dtypes, or ids `(n, k)` and log-probabilities
            `(n, k + 1)` of a top-k teacher.
        labels: of these positions.
    Returns:
        the values per position, float32.
    """
    row = _Row(logits_s, labels.target, settings)
    nll, kd, normalizer, correct = (
        row.of_complete(teacher) if isinstance(teacher, Tensor) else row.of_top_k(*teacher)
    )
    vocab, share = logits_s.size(-1), smoothing_share(settings, logits_s.size(-1))
    task = (1 - settings.label_smoothing - share) * nll
    if labels.mean_logit is not None:
        task += share * vocab * (normalizer - labels.mean_logit)
    return ChunkSums(task, nll, kd * float(settings.temperature) ** 2, correct)


class _Row:
    """Arguments that the launches of one chunk share."""

    def __init__(self, logits: Tensor, target: Tensor, settings: LossSettings) -> None:
        self.logits, self.target, self.settings = logits, target, settings
        self.vocab = logits.size(-1)
        self.temperature = float(settings.temperature)
        self.soft = settings.kd_lambda * self.temperature
        self.hard = 1 - settings.kd_lambda
        share = smoothing_share(settings, self.vocab)
        self.at_label = self.hard * (1 - settings.label_smoothing - share)
        self.scale = gradient_scale(logits.dtype, settings)
        self.limit = torch.finfo(logits.dtype).max
        block = block_of(self.vocab)
        self.launch = {"BLOCK": block.size, "num_warps": block.warps}
        self.grid = (len(logits),)

    def of_complete(self, logits_t: Tensor) -> tuple[Tensor, ...]:
        """Launch the kernel of a complete teacher; return nll, divergence, log-sum-exp, hits."""
        values = self.logits.new_empty((len(self.logits), 4), dtype=torch.float32)
        _kernel(triton_kernel.distill_rows)[self.grid](
            self.logits, logits_t, self.target, values,
            self.logits.stride(0), logits_t.stride(0), self.vocab,
            1 / self.temperature, self.soft, self.hard, self.at_label,
            self.settings.divergence.parameter, self.scale, self.limit,
            KIND=triton_kernel.KINDS[self.settings.divergence.kind],
            TEMPERED=self.temperature != 1, ACCURACY=self.settings.accuracy, **self.launch,
        )  # fmt: skip
        divergence, normalizer, label, hit = values.unbind(-1)
        return normalizer - label, divergence, normalizer, hit.bool() & self.settings.accuracy

    def of_top_k(self, ids: Tensor, lprobs_t: Tensor) -> tuple[Tensor, ...]:
        """Take the k tokens out of the rows, launch both kernels, and write the k gradients."""
        label = self.logits.gather(-1, self.target.unsqueeze(-1)).squeeze(-1).float()
        correct = torch.zeros_like(self.target, dtype=torch.bool)
        if self.settings.accuracy:
            correct = self.logits.argmax(-1).eq(self.target)
        inside = self.logits.gather(-1, ids).float()
        self.logits.scatter_(-1, ids, -torch.inf)
        values = inside.new_empty((len(inside), 2))
        tempered = self.temperature != 1
        _kernel(triton_top_k.student_rows)[self.grid](
            self.logits, values, self.logits.stride(0), self.vocab, 1 / self.temperature,
            TEMPERED=tempered, **self.launch,
        )  # fmt: skip
        at_t, at_1 = inside / self.temperature, inside
        lse_s = torch.logaddexp(values[:, 0], at_t.logsumexp(-1))
        lse_1 = torch.logaddexp(values[:, 1], at_1.logsumexp(-1))
        rest = (values[:, 0] - lse_s).clamp_min(math.log(torch.finfo(torch.float32).tiny))
        lprobs_s = torch.cat([at_t - lse_s.unsqueeze(-1), rest.unsqueeze(-1)], -1)
        kd, slope = value_and_gradient(lprobs_s, lprobs_t.float(), self.settings.divergence)
        slope = slope * self.soft
        factors = torch.stack([slope[:, -1] / rest.exp(), lse_s, lse_1], -1)
        _kernel(triton_top_k.write_rows)[self.grid](
            self.logits, factors, self.target, self.logits.stride(0), self.vocab,
            1 / self.temperature, self.hard, self.at_label, self.scale, self.limit, **self.launch,
        )  # fmt: skip
        gradient = slope[:, :-1] + self.hard * (at_1 - lse_1.unsqueeze(-1)).exp()
        gradient -= self.at_label * ids.eq(self.target.unsqueeze(-1))
        scaled = (gradient * self.scale).clamp(-self.limit, self.limit)
        self.logits.scatter_(-1, ids, scaled.to(self.logits.dtype))
        return lse_1 - label, kd, lse_1, correct


def _kernel(kernel: Any) -> Any:
    """Return a kernel, which has no types."""
    return kernel
