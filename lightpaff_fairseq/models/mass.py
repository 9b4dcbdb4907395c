"""The model `mass`: a transformer whose decoder accepts the positions of its tokens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import register_model, register_model_architecture
from fairseq.models.transformer import TransformerConfig, TransformerDecoderBase, TransformerModel
from fairseq.modules import LearnedPositionalEmbedding
from torch import Tensor, nn

from .presets import PRESETS, MassPreset, apply_preset


class ExplicitPositions(LearnedPositionalEmbedding):
    """Learned positions that are counted from the tokens, or given by the caller."""

    explicit: Tensor | None = None

    @classmethod
    def around(cls, stock: LearnedPositionalEmbedding) -> "ExplicitPositions":
        """Wrap the table of a stock module, without drawing random numbers."""
        with torch.device("meta"):
            table = cls(stock.num_embeddings, stock.embedding_dim, stock.padding_idx)
        table.weight = stock.weight
        return table

    @contextmanager
    def given(self, positions: Tensor | None) -> Iterator[None]:
        """Look up `positions` `(B, T)` inside the block; None: count them from the tokens."""
        self.explicit = positions
        try:
            yield
        finally:
            self.explicit = None

    def forward(
        self, input: Tensor, incremental_state: Any = None, positions: Tensor | None = None
    ) -> Tensor:
        """Return `(B, T, C)` embeddings for tokens `(B, T)`."""
        if self.explicit is None:
            embedded: Tensor = super().forward(input, incremental_state, positions)
            return embedded
        if self.explicit.shape != input.shape:
            raise ValueError(
                f"positions: expected the shape of prev_output_tokens {tuple(input.shape)}, "
                f"got {tuple(self.explicit.shape)}"
            )
        return nn.Embedding.forward(self, self.explicit)


class MassDecoder(TransformerDecoderBase):
    """The stock decoder with one more argument, `positions`."""

    embed_positions: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.embed_positions, LearnedPositionalEmbedding):
            positions = self.embed_positions
            raise ValueError(
                "--arch mass...: the decoder needs a table of learned positions "
                "(--decoder-learned-pos, without --no-token-positional-embeddings), "
                f"got {'none' if positions is None else type(positions).__name__}"
            )
        self.embed_positions = ExplicitPositions.around(self.embed_positions)

    def forward(
        self,
        prev_output_tokens: Tensor,
        *args: Any,
        positions: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Run the stock forward; `positions` `(B, T)` are rows of the position table, or None."""
        with self.embed_positions.given(positions):
            output: tuple[Tensor, dict[str, Any]]
            output = super().forward(prev_output_tokens, *args, **kwargs)
        return output


@register_model("mass")
class MassModel(TransformerModel):
    """Encoder-decoder for MASS pre-training, with the parameter names of the stock transformer.

    Without `positions` it is the stock transformer bit for bit.
    Source: MASS, arXiv 1905.02450.
    """

    @classmethod
    def build_decoder(
        cls, args: Any, tgt_dict: Dictionary, embed_tokens: nn.Embedding
    ) -> nn.Module:
        cfg = TransformerConfig.from_namespace(args)
        return MassDecoder(cfg, tgt_dict, embed_tokens, no_encoder_attn=cfg.no_cross_attention)

    def forward(  # noqa: PLR0913  the stock signature and one more
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        prev_output_tokens: Tensor,
        return_all_hiddens: bool = True,
        features_only: bool = False,
        alignment_layer: int | None = None,
        alignment_heads: int | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Run the stock forward, with positions for the decoder.

        Args:
            src_tokens: `(B, S)`.
            src_lengths: `(B,)`.
            prev_output_tokens: `(B, T)`.
            features_only: return hidden states `(B, T, C)` instead of logits `(B, T, V)`.
            positions: `(B, T)` rows of the decoder's position table (the padding index + 1 + a
                token's position, the padding index for padding); None: counted from the tokens.
        """
        encoder_out = self.encoder(
            src_tokens, src_lengths=src_lengths, return_all_hiddens=return_all_hiddens
        )
        output: tuple[Tensor, dict[str, Any]] = self.decoder(
            prev_output_tokens,
            encoder_out=encoder_out,
            features_only=features_only,
            alignment_layer=alignment_layer,
            alignment_heads=alignment_heads,
            src_lengths=src_lengths,
            return_all_hiddens=return_all_hiddens,
            positions=positions,
        )
        return output


def _architecture(preset: MassPreset) -> Callable[[Any], None]:
    return lambda args: apply_preset(args, preset)  # a function of this module, unlike a partial


for _name, _preset in PRESETS.items():
    register_model_architecture("mass", f"mass_{_name}")(_architecture(_preset))
