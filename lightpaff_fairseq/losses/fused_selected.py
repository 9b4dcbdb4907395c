"""The fused loss with the soft term at chosen positions only (`position_selection.py`).

The choice is that of the whole batch, known after its last chunk, but no position's logits are
computed twice: of the positions so far, the logits of the K best are kept, `(K, V)`. A position
that drops out of them, or never entered, gets the gradient of its task loss at once; the K that
remain go through the teacher's head, and their two losses share one gradient product.
"""

from dataclasses import replace

import torch
from torch import Tensor

from .chunk import Labels, Logits, add_label_gradient, chunk_loss, softmax_into, task_loss
from .dense import LossSettings
from .head_products import HeadGradients, fill_logits, mean_logits
from .model_output import LinearOutput
from .position_selection import (
    DeferredOutput,
    ScoreInput,
    Selection,
    Teacher,
    complete_output,
    largest,
    outcomes_of,
)
from .sampled import SPARSE


def walk_selected(
    student: LinearOutput,
    teacher: Teacher,
    target: Tensor,
    settings: LossSettings,
    grads: HeadGradients,
) -> tuple[Tensor, ...]:
    """Walk over all positions, then over the chosen ones; return the four sums of `LossTerms`.

    Args:
        student: without gradients; target: `(N,)`.
        settings: with a `selection`.
        grads: receives the gradients, except for the part of label smoothing.
    """
    walk = _Walk(student, teacher, target, settings, grads)
    for start in range(0, target.numel(), walk.chunk):
        walk.chunk_of_all(slice(start, min(start + walk.chunk, target.numel())))
    walk.chosen_ones()
    task, nll, kd = walk.totals
    loss = (1 - settings.kd_lambda) * task + settings.kd_lambda * kd
    return loss, nll, kd, walk.correct


class _Kept:
    """The K best positions so far: logits `(K, V)`, numbers and scores of the first `size`."""

    def __init__(self, count: int, like: Tensor) -> None:
        self.logits = like.new_empty((count, like.size(-1)))
        self.positions = torch.empty(count, dtype=torch.int64, device=like.device)
        self.scores = like.new_empty(count)
        self.size = 0

    def exchange(self, buffers: Tensor, positions: Tensor, scores: Tensor) -> Tensor:
        """Take in the best of a chunk; return which rows of the chunk are left to be finished.

        Args:
            buffers: logits, work space and probabilities of the chunk, `(3, n, V)`.
            positions, scores: `(n,)`. Positions that drop out take the places of those that enter,
                in probabilities and `positions`.
        Returns:
            `(n',)` row numbers.
        """
        old_positions, old_scores = self.positions[: self.size], self.scores[: self.size]
        both = torch.cat([old_positions, positions])
        best = largest(torch.cat([old_scores, scores]), both, len(self.positions))
        stays, enters = best[: self.size], best[self.size :]
        dropped, entering = (~stays).nonzero().squeeze(-1), enters.nonzero().squeeze(-1)
        swapped, added = entering[: len(dropped)], entering[len(dropped) :]
        fresh = torch.arange(self.size, self.size + len(added), device=both.device)
        places = torch.cat([dropped, fresh])
        logits, spare, probs = buffers
        if len(dropped):
            rows = torch.index_select(self.logits, 0, dropped, out=spare[: len(dropped)])
            probs.index_copy_(0, swapped, torch.softmax(rows, -1, out=rows))
        old = self.positions[dropped]
        rows = torch.index_select(logits, 0, entering, out=spare[: len(entering)])
        self.logits.index_copy_(0, places, rows)
        self.positions[places], self.scores[places] = positions[entering], scores[entering]
        positions[swapped] = old
        self.size += len(added)
        remaining = torch.ones_like(enters).index_fill_(0, added, False)
        return remaining.nonzero().squeeze(-1)


class _Walk:
    """One call of `walk_selected`: buffers, sums and the positions kept."""

    def __init__(
        self,
        student: LinearOutput,
        teacher: Teacher,
        target: Tensor,
        settings: LossSettings,
        grads: HeadGradients,
    ) -> None:
        assert settings.selection is not None
        self.student, self.teacher, self.target = student, teacher, target
        self.settings, self.grads = settings, grads
        self.selection: Selection = settings.selection
        self.chunk = max(1, min(settings.chunk_tokens, target.numel()))
        dtype = torch.float64 if student.hidden.dtype == torch.float64 else torch.float32
        shape = (3, self.chunk, student.vocab_size)
        self.buffers = student.hidden.new_empty(shape, dtype=dtype)
        self.kept = _Kept(self.selection.count(target.numel()), self.buffers)
        self.totals = student.hidden.new_zeros(3, dtype=dtype)
        self.correct = target.new_zeros(())
        smoothed = settings.label_smoothing and settings.kd_lambda < 1
        self.means = mean_logits(student, dtype) if smoothed else None
        if self.selection.score.needs_teacher:
            self.teacher = complete_output(teacher, target)

    def chunk_of_all(self, rows: slice) -> None:
        """Compute the task loss of a chunk, and the gradient of what is not kept."""
        logits, spare, probs = self.buffers[:, : rows.stop - rows.start]
        fill_logits(logits, self.student, rows)
        labels = self._labels(rows)
        normalizer = softmax_into(probs, Logits(logits, logits.amax(-1)))
        nll = normalizer - logits.gather(-1, labels.target.unsqueeze(-1)).squeeze(-1)
        task = task_loss(nll, normalizer, labels, self.settings, logits.size(-1))
        self.totals[:2] += torch.stack([task.sum(), nll.sum()])
        if self.settings.accuracy:
            self.correct += logits.argmax(-1).eq(labels.target).sum()
        outcomes = None
        if self.selection.score.needs_teacher:
            assert not isinstance(self.teacher, DeferredOutput)
            temperature = float(self.settings.temperature)
            outcomes = outcomes_of(logits, self.teacher, rows, temperature)
        given = ScoreInput(logits, probs, normalizer, labels.target, spare, outcomes)
        positions = torch.arange(rows.start, rows.stop, device=logits.device)
        scores = self.selection.score.value(given)
        finished = self.kept.exchange(self.buffers[:, : len(scores)], positions, scores)
        self._finish(probs, positions, finished)

    def _finish(self, probs: Tensor, positions: Tensor, finished: Tensor) -> None:
        """Add the task loss's gradient at the rows `finished` of a chunk."""
        if len(finished) < len(positions):
            probs, positions = probs[finished], positions[finished]
        if len(positions):
            gradient = probs.mul_(1 - self.settings.kd_lambda)
            add_label_gradient(gradient, self.target[positions], self.settings)
            self.grads.add(positions, gradient)

    def chosen_ones(self) -> None:
        """Compute both losses' gradient, and the soft loss, at the chosen positions."""
        settings = replace(self.settings, accuracy=False)
        places = self.kept.positions.argsort()
        chosen = self.kept.positions[places]
        teacher, is_deferred = self.teacher, isinstance(self.teacher, DeferredOutput)
        if isinstance(teacher, DeferredOutput):
            teacher = teacher.at(chosen)
        for start in range(0, len(places), self.chunk):
            part = slice(start, min(start + self.chunk, len(places)))
            positions = chosen[part]
            logits_s, logits_t, work = self.buffers[:, : len(positions)]
            torch.index_select(self.kept.logits, 0, places[part], out=logits_s)
            rows = part if is_deferred else positions
            sparse = teacher.rows(rows) if isinstance(teacher, SPARSE) else None
            if not isinstance(teacher, SPARSE):
                fill_logits(logits_t, teacher, rows)
            buffers = (logits_s, logits_t, work)
            sums, gradient = chunk_loss(buffers, sparse, self._labels(positions), settings)
            self.totals[2] += sums.kd.sum()
            self.grads.add(positions, gradient)

    def _labels(self, rows: slice | Tensor) -> Labels:
        return Labels(self.target[rows], None if self.means is None else self.means[rows])
