"""Other libraries' distillation losses, for `lightpaff benchmark loss`; none is needed otherwise.

Each is used as its documentation says, on the same inputs, and scaled to our sum over positions:
`[loss, gradient of hidden states, gradient of the head]`. `pip install lightpaff-fairseq[bench]`.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..losses.divergences import Divergence


@dataclass(frozen=True)
class Problem:
    """Inputs `(N, C)`, heads `(V, C)` and labels `(N,)`, as `benchmark.loss` makes them."""

    hidden_s: Tensor
    weight_s: Tensor
    hidden_t: Tensor
    weight_t: Tensor
    target: Tensor
    chunk_tokens: int
    divergence: Divergence

    def gradients(self, mean_loss: Tensor) -> list[Tensor]:
        """Of a mean over positions, all as sums."""
        leaves = [self.hidden_s, self.weight_s]
        n = len(self.target)
        return [x.detach() * n for x in (mean_loss, *torch.autograd.grad(mean_loss, leaves))]


@dataclass(frozen=True)
class Peer:
    """A library's loss.

    Attributes:
        package: what to install; module: where the loss is; kinds: the divergences it knows.
        make: sets up the computation.
    """

    package: str
    module: str
    kinds: tuple[str, ...]
    make: Callable[[Problem], Callable[[], list[Tensor]]]


def _liger(compiled: bool) -> Callable[[Problem], Callable[[], list[Tensor]]]:
    def make(problem: Problem) -> Callable[[], list[Tensor]]:
        ends = {"forward_kl": 0.0, "reverse_kl": 1.0}
        loss: Any = importlib.import_module(LIGER).LigerFusedLinearJSDLoss(
            beta=ends.get(problem.divergence.kind, problem.divergence.beta),
            compiled=compiled,
            chunk_size=problem.chunk_tokens,
        )
        inputs = (problem.hidden_s, problem.weight_s, problem.hidden_t, problem.weight_t)
        return lambda: problem.gradients(loss(*inputs, problem.target))

    return make


def _torchtune(problem: Problem) -> Callable[[], list[Tensor]]:
    chunks = max(1, len(problem.target) // problem.chunk_tokens)
    losses: Any = importlib.import_module(TORCHTUNE)
    soft = losses.ForwardKLWithChunkedOutputLoss(chunks)
    hard = losses.CEWithChunkedOutputLoss(chunks)
    labels = problem.target.unsqueeze(0)

    def run() -> list[Tensor]:
        parts = problem.hidden_s.unsqueeze(0).chunk(chunks, dim=1)
        logits_s = [x @ problem.weight_s.t() for x in parts]
        parts = problem.hidden_t.unsqueeze(0).chunk(chunks, dim=1)
        logits_t = [x @ problem.weight_t.t() for x in parts]
        return problem.gradients(
            0.5 * hard(logits_s, labels) + 0.5 * soft(logits_s, logits_t, labels)
        )

    return run


def _textbrewer(problem: Problem) -> Callable[[], list[Tensor]]:
    soft: Any = importlib.import_module(TEXTBREWER).kd_ce_loss

    def run() -> list[Tensor]:
        logits_s = problem.hidden_s @ problem.weight_s.t()
        logits_t = problem.hidden_t @ problem.weight_t.t()
        hard = F.cross_entropy(logits_s, problem.target)
        return problem.gradients(0.5 * hard + 0.5 * soft(logits_s, logits_t))

    return run


LIGER, TORCHTUNE, TEXTBREWER = (
    "liger_kernel.chunked_loss",
    "torchtune.modules.loss",
    "textbrewer.losses",
)
ANY = ("forward_kl", "reverse_kl", "jsd")
PEERS = {
    "liger": Peer("liger-kernel", LIGER, ANY, _liger(compiled=False)),
    "liger-compiled": Peer("liger-kernel", LIGER, ANY, _liger(compiled=True)),
    "torchtune": Peer("torchtune", TORCHTUNE, ("forward_kl",), _torchtune),
    "textbrewer": Peer("textbrewer", TEXTBREWER, ("forward_kl",), _textbrewer),
}


def check_peers(names: Sequence[str], divergence: Divergence) -> None:
    """Refuses peers that are not there, or do not know the divergence.

    Raises:
        ValueError: names all of them.
    """
    problems = []
    for name in names:
        peer = PEERS[name]
        if divergence.kind not in peer.kinds:
            problems.append(f"--peers {name}: has no {divergence.kind}")
        try:
            importlib.import_module(peer.module)
        except ImportError as error:
            problems.append(f"--peers {name}: needs the package {peer.package} ({error})")
    if problems:
        raise ValueError("; ".join(problems))
