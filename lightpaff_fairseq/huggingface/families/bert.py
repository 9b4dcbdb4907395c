"""Map BERT, RoBERTa and XLM-R to fairseq's model `roberta`.

fairseq has no segment embeddings: a model of one segment loses nothing when its row is added to
the positions; of two, only single sentences would stay right, so the user has to ask for it.

fairseq's LayerNorms have eps 1e-5, BERT's 1e-12. At the embeddings, whose variance is a few
thousandths, this shows in the fourth digit. LayerNorm of c * x with eps is that of x with
eps / c^2, so the embeddings are stored times 64 (exactly, a power of two): eps 2.4e-9 there. The
head keeps a table of its own (`--untie-weights-roberta`). Further up the variance is near 1.
"""

import math

from torch import Tensor

from ..tables import Positions, Row, Rows, linear, row
from .family import FAIRSEQ_ACTIVATIONS, LAYER_NORM_EPS, Config, Family, State, as_flags

LARGEST_SCALE = 64.0
HEAD = "classification_heads.sentence_classification_head"
OPTIONS = {
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
MLM_HEADS = {  # dense, layer_norm, weight and bias of fairseq's head
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder.weight", "lm_head.bias"),
    "bert": (
        *("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
        *("cls.predictions.decoder.weight", "cls.predictions.bias"),
    ),
}
CLASSIFIERS = {
    "roberta": {"dense": "classifier.dense", "out_proj": "classifier.out_proj"},
    "bert": {"dense": "bert.pooler.dense", "out_proj": "classifier"},
}

ALLOWED = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}


def eps_scale(config: Config) -> float:
    """Return the power of two that gives fairseq's first LayerNorm nearly the model's eps."""
    ratio = math.sqrt(LAYER_NORM_EPS / float(config["layer_norm_eps"]))
    return min(LARGEST_SCALE, 2.0 ** round(math.log2(ratio)))


def first_position(config: Config) -> int:
    """Return the row of position 0 in the table of positions."""
    return 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1


def positions(config: Config) -> int:
    """Return the maximum number of tokens of the model."""
    return int(config["max_position_embeddings"]) - first_position(config)


def eps_problem(config: Config) -> str | None:
    """Return why fairseq's LayerNorms cannot stand for the model's; or None."""
    eps = float(config["layer_norm_eps"])
    if 0 < eps <= LAYER_NORM_EPS:
        return None
    return f"layer_norm_eps: expected at most {LAYER_NORM_EPS}, got {eps}"


def segment_problem(config: Config, segment: int | None) -> str | None:
    """Return why a model of any family cannot be taken with `--segment`, or without it."""
    segments = int(config.get("type_vocab_size", 0))
    if segment is None and segments > 1:
        return (
            f"type_vocab_size: expected 1, got {segments}: fairseq has no segment embeddings. "
            "--segment 0 takes the model for single sentences, with segment 0 everywhere; a model "
            "of sentence pairs cannot be converted"
        )
    if segment is None or 0 <= segment < segments:
        return None
    if not segments:
        return f"--segment {segment}: {config['model_type']} has no segments"
    return f"--segment {segment}: expected 0 to {segments - 1}"


def flags(config: Config) -> list[str]:
    """Return the flags of fairseq-train for a model."""
    words = ["--arch", "roberta_base", *as_flags(config, OPTIONS)]
    words += ["--max-positions", str(positions(config))]
    words += ["--activation-fn", FAIRSEQ_ACTIVATIONS[config["hidden_act"]]]
    untied = eps_scale(config) != 1 or not config.get("tie_word_embeddings", True)
    return words + (["--untie-weights-roberta"] if untied else [])


def rows(config: Config, order: Tensor, architecture: str) -> list[Row]:
    """Return the table of names, layers as `{}`."""
    prefix, scale, encoder = _prefix(config), eps_scale(config), "encoder.sentence_encoder"
    embeddings, plain = f"{prefix}.embeddings", Rows(order)
    words = Rows(order, scale) if scale != 1 else plain  # one operation: tied tensors stay tied
    place = Positions(first_position(config), scale=scale)
    table = [
        row(f"{encoder}.embed_tokens.weight", f"{embeddings}.word_embeddings.weight", words),
        row(f"{encoder}.embed_positions.weight", f"{embeddings}.position_embeddings.weight", place),
        *linear(f"{encoder}.layernorm_embedding", f"{embeddings}.LayerNorm"),
    ]
    for part, hf_part in LAYER.items():
        hf_name = f"{prefix}.encoder.layer.{{}}.{hf_part}"
        table += linear(f"{encoder}.layers.{{}}.{part}", hf_name, "encoder")
    if architecture.endswith("ForSequenceClassification"):
        for part, hf_part in CLASSIFIERS[prefix].items():
            table += linear(f"{HEAD}.{part}", hf_part)
        return table
    dense, norm, weight, bias = MLM_HEADS[prefix]
    table += linear("encoder.lm_head.dense", dense) + linear("encoder.lm_head.layer_norm", norm)
    table.append(row("encoder.lm_head.weight", weight, plain))
    return [*table, row("encoder.lm_head.bias", bias, plain)]


def fold_segment(config: Config, state: State, segment: int) -> State:
    """Add a row of the segment embeddings to every position; a row of zeros changes nothing."""
    embeddings = f"{_prefix(config)}.embeddings"
    place = f"{embeddings}.position_embeddings.weight"
    added = state[f"{embeddings}.token_type_embeddings.weight"][segment]
    return {**state, place: state[place] + added} if bool(added.any()) else state


def _prefix(config: Config) -> str:
    return "bert" if config["model_type"] == "bert" else "roberta"


def _family(model_type: str, prefix: str, alphabet: str) -> Family:
    kind = _prefix({"model_type": model_type})
    return Family(
        model_type=model_type,
        classes=(f"{prefix}ForMaskedLM", f"{prefix}ForSequenceClassification"),
        task="masked_lm",
        alphabet=alphabet,
        layers={"encoder": "num_hidden_layers"},
        activation="hidden_act",
        allowed=ALLOWED,
        check=eps_problem,
        flags=flags,
        rows=rows,
        prepare=fold_segment,
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
