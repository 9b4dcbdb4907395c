"""Other libraries' distillation losses (`pip install lightpaff-fairseq[bench]`).

Each is called as its documentation shows, on the same inputs, and scaled to a sum over positions:
`[loss, gradient of hidden states, gradient of the head]`.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..losses.divergences import Divergence
from ..problems import Problems
from .loss_sizes import Inputs

Computation = Callable[[], list[Tensor]]


@dataclass(frozen=True)
class Peer:
    """The loss of a library.

    Attributes:
        package: its name for pip; module: contains the loss; kinds: supported divergences.
        make: sets up the computation.
    """

    package: str
    module: str
    kinds: tuple[str, ...]
    make: Callable[[Inputs], Computation]


def _summed(inputs: Inputs, mean_loss: Tensor) -> list[Tensor]:
    """Return the loss and its gradients, scaled from a mean over positions to a sum."""
    return [x * len(inputs.target) for x in inputs.gradients(mean_loss)]


def _liger(inputs: Inputs, compiled: bool) -> Computation:
    student, teacher, divergence = inputs.student, inputs.teacher, inputs.settings.divergence
    loss: Any = importlib.import_module(LIGER).LigerFusedLinearJSDLoss(
        beta={"forward_kl": 0.0, "reverse_kl": 1.0}.get(divergence.kind, divergence.beta),
        compiled=compiled,
        chunk_size=inputs.settings.chunk_tokens,
    )
    outputs = (student.hidden, student.weight, teacher.hidden, teacher.weight)
    return lambda: _summed(inputs, loss(*outputs, inputs.target))


def _torchtune(inputs: Inputs) -> Computation:
    chunks = max(1, len(inputs.target) // inputs.settings.chunk_tokens)
    losses: Any = importlib.import_module(TORCHTUNE)
    soft = losses.ForwardKLWithChunkedOutputLoss(chunks)
    hard = losses.CEWithChunkedOutputLoss(chunks)
    labels = inputs.target.unsqueeze(0)

    def run() -> list[Tensor]:
        logits_s, logits_t = (
            [part @ x.weight.t() for part in x.hidden.unsqueeze(0).chunk(chunks, dim=1)]
            for x in (inputs.student, inputs.teacher)
        )
        loss = 0.5 * hard(logits_s, labels) + 0.5 * soft(logits_s, logits_t, labels)
        return _summed(inputs, loss)

    return run


def _textbrewer(inputs: Inputs) -> Computation:
    soft: Any = importlib.import_module(TEXTBREWER).kd_ce_loss

    def run() -> list[Tensor]:
        logits_s, logits_t = (x.hidden @ x.weight.t() for x in (inputs.student, inputs.teacher))
        hard = F.cross_entropy(logits_s, inputs.target)
        return _summed(inputs, 0.5 * hard + 0.5 * soft(logits_s, logits_t))

    return run


LIGER, TORCHTUNE = "liger_kernel.chunked_loss", "torchtune.modules.loss"
TEXTBREWER = "textbrewer.losses"
ANY = ("forward_kl", "reverse_kl", "jsd")
PEERS = {
    "liger": Peer("liger-kernel", LIGER, ANY, partial(_liger, compiled=False)),
    "liger-compiled": Peer("liger-kernel", LIGER, ANY, partial(_liger, compiled=True)),
    "torchtune": Peer("torchtune", TORCHTUNE, ("forward_kl",), _torchtune),
    "textbrewer": Peer("textbrewer", TEXTBREWER, ("forward_kl",), _textbrewer),
}


def check_peers(names: Sequence[str], divergence: Divergence) -> None:
    """Check that peers are installed and compute the divergence.

    Raises:
        ValueError: lists every peer that is not or does not.
    """
    problems = Problems()
    for name in names:
        peer = PEERS[name]
        problems.unless(
            divergence.kind in peer.kinds, f"--peers {name}: does not support {divergence.kind}"
        )
        try:
            importlib.import_module(peer.module)
        except ImportError as error:
            problems.add(f"--peers {name}: needs the package {peer.package} ({error})")
    problems.raise_if_any()
