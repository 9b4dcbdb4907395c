"""Distillation losses in plain PyTorch: no fairseq, no training loop, no models.

The package needs PyTorch alone. Given hidden states and output layers of a student and its teacher,
`fused_distillation_loss` computes

    sum over N positions  (1 - lambda) CE(label, p_s) + lambda T^2 D(p_t^(1/T), p_s^(1/T))

and its gradient chunk by chunk, without a tensor of `(N, V)`:

    import torch
    from lightpaff_fairseq.losses import LinearOutput, LossSettings, fused_distillation_loss

    N, V, C_s, C_t = 2048, 32000, 512, 1024  # positions, vocabulary, widths
    hidden_s = torch.randn(N, C_s, requires_grad=True)  # from your student, without padding
    head_s = torch.nn.Linear(C_s, V, bias=False)
    hidden_t, head_t = torch.randn(N, C_t), torch.randn(V, C_t)  # from your teacher, no gradient
    target = torch.randint(V, (N,))

    terms = fused_distillation_loss(
        LinearOutput(hidden_s, head_s.weight),
        LinearOutput(hidden_t, head_t),
        target,
        LossSettings(kd_lambda=0.5, temperature=2.0),
    )
    (terms.loss / N).backward()  # reaches hidden_s, and through it the student; and head_s.weight
    print(terms.nll_loss / N, terms.kd_loss / N)  # nats per position

A teacher may also give complete logits (`LogitsOutput`), k probabilities per position
(`TopKOutput`), draws (`SampledOutput`), or be several teachers (`EnsembleOutput`).
`dense_distillation_loss` is the same loss from complete logits, for students whose output layer is
not one matrix. Reductions are always sums: divide once, by what you like.

Intermediate losses (`IntermediateLosses`) compare the layers that `layer_pairs` matches; their
distances are functions in `features`. Weights and temperatures that change during training are in
`schedules`.
"""

from .dense import (
    LossSettings,
    LossTerms,
    dense_distillation_loss,
    label_smoothed_nll,
    soft_loss,
)
from .divergences import DIVERGENCES, Divergence, DivergenceEntry, divergence_of_lprobs
from .ensemble import EnsembleOutput
from .fused import fused_distillation_loss
from .intermediate import INTERMEDIATE_LOSSES, IntermediateLosses, IntermediateSettings
from .layer_map import layer_pairs
from .layers import AttentionActivations, LayerActivations, LayerStack, PaddingMasks
from .model_output import LinearOutput, LogitsOutput, ModelOutput
from .sampled import SampledOutput
from .schedules import TemperatureSchedule, WeightSchedule
from .top_k import TopKOutput

__all__ = [
    "DIVERGENCES",
    "INTERMEDIATE_LOSSES",
    "AttentionActivations",
    "Divergence",
    "DivergenceEntry",
    "EnsembleOutput",
    "IntermediateLosses",
    "IntermediateSettings",
    "LayerActivations",
    "LayerStack",
    "LinearOutput",
    "LogitsOutput",
    "LossSettings",
    "LossTerms",
    "ModelOutput",
    "PaddingMasks",
    "SampledOutput",
    "TemperatureSchedule",
    "TopKOutput",
    "WeightSchedule",
    "dense_distillation_loss",
    "divergence_of_lprobs",
    "fused_distillation_loss",
    "label_smoothed_nll",
    "layer_pairs",
    "soft_loss",
]
