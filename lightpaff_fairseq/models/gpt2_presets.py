"""GPT-2 architectures: fairseq's own model `transformer_lm`, with the values of GPT-2.

That is: learned positions (1024), input and output embedding tied and not scaled, LayerNorm before
each block and after the last, GELU, dropout 0.1. Parameters at GPT-2's vocabulary of 50,257
tokens:

    transformer_lm_gpt2_teacher   24 x 1024 x 16 heads   354,825,216
    transformer_lm_gpt2_student    4 x  768 x 12 heads    67,738,368

These are the teacher and the student of LightPAFF (355 M and 67.7 M), reconstructed from their
counts. `transformer_lm_gpt2_mini` and `transformer_lm_gpt2_micro` are a teacher and a student for
CPUs: the student is 5.7 times smaller at 8,192 tokens and 7.4 times at 4,096, embeddings included.

A trap of names: fairseq's `transformer_lm_gpt2_small` has the teacher's 24 x 1024 x 16, which
OpenAI calls medium, and is not GPT-2: its positions are sinusoidal, its embeddings scaled, and its
output layer has a matrix of its own (405,237,760 parameters). `transformer_lm_gpt3_medium` is
closer (learned positions, tied), but scales its embeddings and has no dropout.

The table of positions has 1024 rows unless `--max-target-positions` says otherwise (stock
architectures take `--tokens-per-sample`). GELU is the exact one; weights of OpenAI's models were
trained with its tanh approximation, `--activation-fn gelu_accurate`.
"""

from functools import partial
from typing import Any

from fairseq.models.transformer_lm import base_lm_architecture

from .stock_architectures import Preset, register_on_stock_model, set_defaults

POSITIONS = 1024


PRESETS = {
    "teacher": Preset(layers=24, width=1024, heads=16, ffn=4096),
    "student": Preset(layers=4, width=768, heads=12, ffn=3072),
    "mini": Preset(layers=5, width=256, heads=4, ffn=1024),
    "micro": Preset(layers=2, width=96, heads=4, ffn=384),
}


def apply_preset(args: Any, preset: Preset) -> None:
    """Set every model value that the user did not set: to the preset's, or else the stock value.

    Args:
        args: a Namespace or an open DictConfig with flat names; changed in place.
    """
    values = {
        "decoder_layers": preset.layers,
        "decoder_embed_dim": preset.width,
        "decoder_ffn_embed_dim": preset.ffn,
        "decoder_attention_heads": preset.heads,
        "decoder_learned_pos": True,
        "share_decoder_input_output_embed": True,
        "no_scale_embedding": True,
        "activation_fn": "gelu",
        "dropout": 0.1,
        "attention_dropout": 0.1,
    }
    set_defaults(args, values)
    if getattr(args, "max_target_positions", None) is None:  # the task's flag, None by default
        args.max_target_positions = POSITIONS
    base_lm_architecture(args)


for _name, _preset in PRESETS.items():
    register_on_stock_model(
        "transformer_lm", f"transformer_lm_gpt2_{_name}", partial(apply_preset, preset=_preset)
    )
