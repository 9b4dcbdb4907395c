"""How closely a model's distributions follow the teacher's, as sums over positions.

Shape letters: n positions of a chunk, V vocabulary (or classes).
"""

import math

import torch
from torch import Tensor

from ..losses.divergences import Divergence, divergence_of_lprobs
from .model_rows import Row

BINS = 15  # of equal width, over the confidence
FORWARD_KL, TVD = Divergence("forward_kl"), Divergence("tvd")


class Calibration:
    """The expected calibration error of a model: its confidence against its accuracy.

    Positions are sorted into `BINS` bins of equal width, `(low, high]`, by the probability of the
    most probable token. Source: Guo et al. (arXiv 1706.04599), eq. 3.
    """

    def __init__(self) -> None:
        self.positions = 0
        self._surplus = torch.zeros(BINS, dtype=torch.float64)  # sum of confidence - correctness

    def add(self, lprobs: Tensor, target: Tensor) -> None:
        """Add positions: `lprobs` `(n, V)` log-probabilities, `target` `(n,)` labels."""
        top, guess = lprobs.max(-1)
        confidence = top.double().exp().cpu()
        bins = (confidence * BINS).ceil().clamp(1, BINS).long() - 1
        self._surplus.index_add_(0, bins, confidence - guess.eq(target).double().cpu())
        self.positions += len(target)

    @property
    def error(self) -> float:
        """Return the mean over positions of |confidence - accuracy| of their bin, in percent."""
        return 100 * float(self._surplus.abs().sum()) / self.positions


class Agreement:
    """The agreement of a model with its teacher.

    Args:
        is_draft: also report the acceptance of speculative decoding.
    """

    def __init__(self, is_draft: bool) -> None:
        self.calibration = Calibration()
        self._is_draft = is_draft
        self._kl = self._distance = 0.0
        self._agreed = 0

    def add(self, lprobs_s: Tensor, lprobs_t: Tensor, target: Tensor) -> None:
        """Add positions.

        Args:
            lprobs_s, lprobs_t: `(n, V)` log-probabilities of model and teacher; target: `(n,)`.
        """
        self.calibration.add(lprobs_s, target)
        self._kl += float(divergence_of_lprobs(lprobs_s, lprobs_t, FORWARD_KL).double().sum())
        self._distance += float(divergence_of_lprobs(lprobs_s, lprobs_t, TVD).double().sum())
        self._agreed += int(lprobs_s.argmax(-1).eq(lprobs_t.argmax(-1)).sum())

    def row(self) -> Row:
        """Return the figures: KL(teacher || model) in bits per position, the others in percent.

        `draft_acceptance` is the mean of 1 - TVD, the probability that speculative sampling accepts
        a token that the model drafts. Source: Leviathan et al. (arXiv 2211.17192), theorem 3.5.
        """
        count = self.calibration.positions
        accepted = {"draft_acceptance": round(100 * (1 - self._distance / count), 2)}
        return {
            **(accepted if self._is_draft else {}),
            "argmax_agreement": round(100 * self._agreed / count, 2),
            "ece": round(self.calibration.error, 2),
            "kl_bits": round(self._kl / count / math.log(2), 4),
        }
