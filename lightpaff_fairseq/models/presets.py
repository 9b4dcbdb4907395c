"""MASS presets of both stages, and the stock-transformer architectures of the second.

`--arch transformer_mass_X` is fairseq's own model with the values of `--arch mass_X`: weights
carry over, and the checkpoint says `transformer` with every value spelled out, so that it loads
where this plug-in is not installed.

`base` and `middle` are the sizes of the published MASS models (one table for all embeddings).
`teacher` and `student` are LightPAFF's pair for MASS, reconstructed from parameter counts, not read
in the paper, which says "nearly 5x smaller": with one table for the encoder and one for the
decoder's input and output, 6+6 layers of width 1024 count 301,342,720 parameters at a vocabulary of
60,000 tokens and 4+4 layers of width 384 count 63,433,728 (at 64,700: 310,968,320 and
67,043,328). `small` and `tiny` are for CPUs.

`6_2x256` and the like have a deep encoder, which runs once per sentence, a shallow decoder, which
runs once per token, and one table: the shapes of light translation models that are served on CPUs.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from fairseq.models.transformer.transformer_legacy import base_architecture

from .stock_architectures import Preset, register_on_stock_model, set_defaults

POSITIONS = 1024


@dataclass(frozen=True)
class MassPreset(Preset):
    """Sizes of the encoder and of the decoder, whose layers are alike.

    Attributes:
        share_all: one table for encoder, decoder and output; else the encoder has its own and
            the decoder's input and output share one.
        decoder_layers: of the decoder; 0: as many as the encoder has.
    """

    share_all: bool = True
    decoder_layers: int = 0


PRESETS = {
    "base": MassPreset(layers=6, width=768, heads=12, ffn=3072),
    "middle": MassPreset(layers=6, width=1024, heads=16, ffn=4096),
    "teacher": MassPreset(layers=6, width=1024, heads=16, ffn=4096, share_all=False),
    "student": MassPreset(layers=4, width=384, heads=6, ffn=1536, share_all=False),
    "small": MassPreset(layers=3, width=256, heads=4, ffn=1024),
    "tiny": MassPreset(layers=2, width=96, heads=4, ffn=384),
    "6_2x256": MassPreset(layers=6, width=256, heads=4, ffn=1024, decoder_layers=2),
    "6_2x384": MassPreset(layers=6, width=384, heads=6, ffn=1536, decoder_layers=2),
    "6_4x384": MassPreset(layers=6, width=384, heads=6, ffn=1536, decoder_layers=4),
    "12_1x512": MassPreset(layers=12, width=512, heads=8, ffn=2048, decoder_layers=1),
}


def apply_preset(args: Any, preset: MassPreset) -> None:
    """Set every model value that the user did not set: to the preset's, or else the stock value.

    Args:
        args: a Namespace or an open DictConfig with flat names; changed in place. The decoder's
            width and FFN follow the encoder's where only those were set, as in fairseq.
    """
    sizes = {"attention_heads": preset.heads, "learned_pos": True}
    values: dict[str, Any] = {
        f"{stack}_{key}": value for stack in ("encoder", "decoder") for key, value in sizes.items()
    }
    values.update(
        encoder_layers=preset.layers,
        decoder_layers=preset.decoder_layers or preset.layers,
        encoder_embed_dim=preset.width,
        encoder_ffn_embed_dim=preset.ffn,
        share_all_embeddings=preset.share_all,
        share_decoder_input_output_embed=True,
        layernorm_embedding=True,
        activation_fn="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        max_source_positions=POSITIONS,
        max_target_positions=POSITIONS,
    )
    set_defaults(args, values)
    base_architecture(args)


for _name, _preset in PRESETS.items():
    register_on_stock_model(
        "transformer", f"transformer_mass_{_name}", partial(apply_preset, preset=_preset)
    )
