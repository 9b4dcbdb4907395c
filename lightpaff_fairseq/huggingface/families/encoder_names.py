"""Name the options and tensors of each family of encoders, in both libraries."""

from collections.abc import Mapping
from dataclasses import dataclass, field

BERT_OPTIONS = {
    "num_hidden_layers": "--encoder-layers",
    "hidden_size": "--encoder-embed-dim",
    "intermediate_size": "--encoder-ffn-embed-dim",
    "num_attention_heads": "--encoder-attention-heads",
    "hidden_dropout_prob": "--dropout",
    "attention_probs_dropout_prob": "--attention-dropout",
}
DISTILBERT_OPTIONS = {
    "n_layers": "--encoder-layers",
    "dim": "--encoder-embed-dim",
    "hidden_dim": "--encoder-ffn-embed-dim",
    "n_heads": "--encoder-attention-heads",
    "dropout": "--dropout",
    "attention_dropout": "--attention-dropout",
}
BERT_LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}
DISTILBERT_LAYER = {
    "self_attn.q_proj": "attention.q_lin",
    "self_attn.k_proj": "attention.k_lin",
    "self_attn.v_proj": "attention.v_lin",
    "self_attn.out_proj": "attention.out_lin",
    "self_attn_layer_norm": "sa_layer_norm",
    "fc1": "ffn.lin1",
    "fc2": "ffn.lin2",
    "final_layer_norm": "output_layer_norm",
}


@dataclass(frozen=True)
class EncoderNames:
    """The names in Hugging Face's models that share a prefix.

    Attributes:
        classifier: fairseq's part of a classification head -> Hugging Face's.
        mlm_head: names of dense layer, LayerNorm, weight and bias; empty: there is none.
        pooler: activation of a classification head.
        stack: where layers are; layer: fairseq's part of one -> Hugging Face's.
        options: option -> flag; activation: the option with the activation function.
    """

    classifier: Mapping[str, str]
    mlm_head: tuple[str, ...] = ()
    pooler: str = "tanh"
    stack: str = "encoder.layer"
    layer: Mapping[str, str] = field(default_factory=lambda: BERT_LAYER)
    options: Mapping[str, str] = field(default_factory=lambda: BERT_OPTIONS)
    activation: str = "hidden_act"


TWO_LAYERS = {"dense": "classifier.dense", "out_proj": "classifier.out_proj"}
ENCODERS = {
    "roberta": EncoderNames(
        classifier=TWO_LAYERS,
        mlm_head=(
            *("lm_head.dense", "lm_head.layer_norm"),
            *("lm_head.decoder.weight", "lm_head.bias"),
        ),
    ),
    "bert": EncoderNames(
        classifier={"dense": "bert.pooler.dense", "out_proj": "classifier"},
        mlm_head=(
            *("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
            *("cls.predictions.decoder.weight", "cls.predictions.bias"),
        ),
    ),
    "electra": EncoderNames(classifier=TWO_LAYERS, pooler="gelu"),
    "distilbert": EncoderNames(
        classifier={"dense": "pre_classifier", "out_proj": "classifier"},
        mlm_head=(
            *("vocab_transform", "vocab_layer_norm"),
            *("vocab_projector.weight", "vocab_projector.bias"),
        ),
        pooler="relu",
        stack="transformer.layer",
        layer=DISTILBERT_LAYER,
        options=DISTILBERT_OPTIONS,
        activation="activation",
    ),
}
