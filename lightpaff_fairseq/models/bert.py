"""The model `bert`: fairseq's `roberta` with segment embeddings and BERT's eps.

A student is a stock `roberta`; this model is for teachers that read sentence pairs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from fairseq.models import register_model, register_model_architecture
from fairseq.models.roberta import RobertaModel
from fairseq.models.roberta.model import base_architecture
from fairseq.modules import LearnedPositionalEmbedding
from torch import Tensor, nn

from ..problems import Problems
from .stock_architectures import set_defaults

EOS = 2  # in every dictionary of fairseq
DEFAULTS: Mapping[str, Any] = {"token_types": 2, "layer_norm_eps": 1e-12}
INITIAL_STD = 0.02  # BERT's


def token_types(tokens: Tensor) -> Tensor:
    """Return the segment of each token: 0 up to the first `</s>`, 1 behind it.

    Args:
        tokens: `(B, T)`, as `sentence_prediction` reads them: `<s> A </s> B </s>`.
    Returns:
        `(B, T)`, int64; that of padding has no effect.
    """
    ends = (tokens == EOS).long()
    return (ends.cumsum(1) - ends).clamp(max=1)


class SegmentedPositions(LearnedPositionalEmbedding):
    """Learned positions, to which the embedding of a token's segment is added."""

    token_types: nn.Embedding

    @classmethod
    def around(cls, stock: LearnedPositionalEmbedding, segments: int) -> "SegmentedPositions":
        """Wrap the table of a stock module; draw the table of segments."""
        with torch.device("meta"):
            table = cls(stock.num_embeddings, stock.embedding_dim, stock.padding_idx)
        table.weight = stock.weight
        table.token_types = nn.Embedding(segments, stock.embedding_dim)
        nn.init.normal_(table.token_types.weight, std=INITIAL_STD)
        return table

    def forward(
        self, input: Tensor, incremental_state: Any = None, positions: Tensor | None = None
    ) -> Tensor:
        """Return `(B, T, C)` embeddings for tokens `(B, T)`."""
        embedded: Tensor = super().forward(input, incremental_state, positions)
        segments: Tensor = self.token_types(token_types(input))
        return embedded + segments


@register_model("bert")
class BertModel(RobertaModel):
    """BERT, with the parameter names of `roberta` and one table more.

    Behind the first `</s>` of a sample the second segment begins: give `--task sentence_prediction`
    `--init-token 0` and no `--separator-token`, as BERT has one separator between two sentences.
    Source: BERT, arXiv 1810.04805.
    """

    @staticmethod
    def add_args(parser: Any) -> None:
        """Add the flags of `roberta`, and two."""
        RobertaModel.add_args(parser)
        parser.add_argument("--token-types", type=int, metavar="N", help="segments (default: 2)")
        parser.add_argument(
            "--layer-norm-eps", type=float, metavar="EPS", help="of LayerNorm (default: 1e-12)"
        )

    @classmethod
    def build_model(cls, args: Any, task: Any) -> "BertModel":
        """Build a `roberta`, then add segments and eps.

        Raises:
            ValueError: there are fewer than two segments, or two separators between sentences.
        """
        bert_architecture(args)
        separator = getattr(getattr(task, "cfg", None), "separator_token", None)
        problems = Problems()
        problems.unless(
            args.token_types >= 2, f"--token-types {args.token_types}: expected 2 or more"
        )
        problems.unless(
            separator is None,
            f"--separator-token {separator}: expected none with --arch bert, which has one "
            "separator between two sentences",
        )
        problems.raise_if_any()
        model: BertModel = super().build_model(args, task)
        encoder = model.encoder.sentence_encoder
        encoder.embed_positions = SegmentedPositions.around(
            encoder.embed_positions, args.token_types
        )
        for module in model.modules():
            if hasattr(module, "normalized_shape"):  # LayerNorm, or apex's
                module.eps = args.layer_norm_eps
        return model


def bert_architecture(args: Any) -> None:
    """Set every model value that the user did not set: BERT-base."""
    set_defaults(args, DEFAULTS)
    base_architecture(args)


register_model_architecture("bert", "bert")(bert_architecture)
