"""BERT, RoBERTa and XLM-R in fairseq's model `roberta`.

fairseq has no segment embeddings: a model of one segment loses nothing when its row is added to
the positions; of two, only single sentences would stay right, so the user has to ask for it.

fairseq's LayerNorms have eps 1e-5, BERT's 1e-12. At the embeddings, whose variance is a few
thousandths, this shows in the fourth digit. LayerNorm of c * x with eps is that of x with
eps / c^2, so the embeddings are stored times 64 (exactly, a power of two): eps 2.4e-9 there. The
head keeps a table of its own (`--untie-weights-roberta`). Further up the variance is near 1.
"""

import math
from functools import partial

from torch import Tensor

from ..tables import Positions, Row, Rows, linear, row
from .family import (
    ACTIVATIONS,
    LAYER_NORM_EPS,
    Config,
    Family,
    Wanted,
    as_flags,
    wrong_activation,
    wrong_values,
)

LARGEST_SCALE = 64.0
HEAD = "classification_heads.sentence_classification_head"
SIZES = {
    "num_hidden_layers": "--encoder-layers",
    "hidden_size": "--encoder-embed-dim",
    "intermediate_size": "--encoder-ffn-embed-dim",
    "num_attention_heads": "--encoder-attention-heads",
    "hidden_dropout_prob": "--dropout",
    "attention_probs_dropout_prob": "--attention-dropout",
}
LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}
MLM_HEADS = {
    "roberta": {
        "dense": "lm_head.dense",
        "layer_norm": "lm_head.layer_norm",
        "weight": "lm_head.decoder.weight",
        "bias": "lm_head.bias",
    },
    "bert": {
        "dense": "cls.predictions.transform.dense",
        "layer_norm": "cls.predictions.transform.LayerNorm",
        "weight": "cls.predictions.decoder.weight",
        "bias": "cls.predictions.bias",
    },
}


def eps_scale(config: Config) -> float:
    """The power of two that gives fairseq's first LayerNorm the model's eps, nearly."""
    ratio = math.sqrt(LAYER_NORM_EPS / float(config["layer_norm_eps"]))
    return min(LARGEST_SCALE, 2.0 ** round(math.log2(ratio)))


def first_position(config: Config) -> int:
    """The row of position 0 in the table of positions."""
    return 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1


def positions(config: Config) -> int:
    """How many tokens the model takes."""
    return int(config["max_position_embeddings"]) - first_position(config)


def problems(config: Config, wanted: Wanted) -> list[str]:
    """All that fairseq's `roberta` cannot do."""
    found = wrong_activation(config, "hidden_act") + wrong_values(
        config,
        {
            "position_embedding_type": ("absolute",),
            "is_decoder": (False,),
            "add_cross_attention": (False,),
        },
    )
    eps = float(config["layer_norm_eps"])
    if not 0 < eps <= LAYER_NORM_EPS:
        found.append(f"layer_norm_eps: expected at most {LAYER_NORM_EPS}, found {eps}")
    segments = int(config["type_vocab_size"])
    if segments > 1 and wanted.segment is None:
        found.append(
            f"type_vocab_size: expected 1, found {segments}: fairseq has no segment embeddings. "
            "--segment 0 takes the model for single sentences, with segment 0 everywhere; a model "
            "of sentence pairs cannot be converted"
        )
    if wanted.segment is not None and not 0 <= wanted.segment < segments:
        found.append(f"--segment: expected 0 to {segments - 1}, found {wanted.segment}")
    return found


def flags(config: Config) -> list[str]:
    """The flags of fairseq-train for this model."""
    words = ["--arch", "roberta_base", *as_flags(config, SIZES)]
    words += ["--max-positions", str(positions(config))]
    words += ["--activation-fn", ACTIVATIONS[config["hidden_act"]]]
    untied = eps_scale(config) != 1 or not config.get("tie_word_embeddings", True)
    return words + (["--untie-weights-roberta"] if untied else [])


def rows(config: Config, order: Tensor, architecture: str) -> list[Row]:
    """The table of names, layers as `{}`."""
    kind = "bert" if config["model_type"] == "bert" else "roberta"
    scale, ours = eps_scale(config), "encoder.sentence_encoder"
    plain = Rows(order)
    words = Rows(order, scale) if scale != 1 else plain
    place = Positions(first_position(config), scale=scale)
    found = [
        row(f"{ours}.embed_tokens.weight", f"{kind}.embeddings.word_embeddings.weight", words),
        row(
            f"{ours}.embed_positions.weight", f"{kind}.embeddings.position_embeddings.weight", place
        ),
        *linear(f"{ours}.layernorm_embedding", f"{kind}.embeddings.LayerNorm"),
    ]
    for mine, theirs in LAYER.items():
        their_name = f"{kind}.encoder.layer.{{}}.{theirs}"
        found += linear(f"{ours}.layers.{{}}.{mine}", their_name, "encoder")
    return found + _head(kind, architecture, plain)


def _head(kind: str, architecture: str, order: Rows) -> list[Row]:
    if architecture.endswith("ForSequenceClassification"):
        dense, out = {
            "bert": ("bert.pooler.dense", "classifier"),
            "roberta": ("classifier.dense", "classifier.out_proj"),
        }[kind]
        return linear(f"{HEAD}.dense", dense) + linear(f"{HEAD}.out_proj", out)
    names = MLM_HEADS[kind]
    return [
        *linear("encoder.lm_head.dense", names["dense"]),
        *linear("encoder.lm_head.layer_norm", names["layer_norm"]),
        row("encoder.lm_head.weight", names["weight"], order),
        row("encoder.lm_head.bias", names["bias"], order),
    ]


def layers(config: Config) -> dict[str, int]:
    """Layers a side."""
    return {"encoder": int(config["num_hidden_layers"])}


def fold_segment(config: Config, theirs: dict[str, Tensor], segment: int) -> dict[str, Tensor]:
    """Adds a row of the segment embeddings to every position; a row of zeros changes nothing."""
    kind = "bert" if config["model_type"] == "bert" else "roberta"
    place = f"{kind}.embeddings.position_embeddings.weight"
    added = theirs[f"{kind}.embeddings.token_type_embeddings.weight"][segment]
    return {**theirs, place: theirs[place] + added} if bool(added.any()) else theirs


def _family(model_type: str, prefix: str, alphabet: str) -> Family:
    kind = "bert" if model_type == "bert" else "roberta"
    return Family(
        model_type=model_type,
        classes=(f"{prefix}ForMaskedLM", f"{prefix}ForSequenceClassification"),
        task="masked_lm",
        alphabet=alphabet,
        problems=problems,
        flags=flags,
        rows=rows,
        layers=layers,
        prepare=partial(fold_segment, segment=0),
        unused=(
            rf"{kind}\.embeddings\.token_type_embeddings\.weight",
            r"(lm_head|cls\.predictions)\.decoder\.bias",  # the bias once more
            rf"{kind}\.pooler\..*",
            r"cls\.seq_relationship\..*",
        ),
    )


ROBERTA = _family("roberta", "Roberta", "gpt2")
XLM_R = _family("xlm-roberta", "XLMRoberta", "pieces")
BERT = _family("bert", "Bert", "wordpiece")
