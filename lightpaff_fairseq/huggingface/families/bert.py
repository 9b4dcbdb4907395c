"""Map BERT, RoBERTa, XLM-R, DistilBERT and ELECTRA to fairseq's `roberta` and our `bert`.

A model of one segment loses nothing when its row is added to the positions. One of two becomes the
model `bert`; with `--segment`, which is right for single sentences only, a stock `roberta`.

LayerNorms of a stock `roberta` have eps 1e-5, BERT's 1e-12. At the embeddings, whose variance is a
few thousandths, this shows in the fourth digit. LayerNorm of c * x with eps is that of x with
eps / c^2, so the embeddings are stored times 64 (exactly, a power of two): eps 2.4e-9 there. The
head keeps a table of its own (`--untie-weights-roberta`). Further up the variance is near 1.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..tables import Positions, Row, Rows, linear, row
from .encoder_names import ENCODERS, EncoderNames
from .family import FAIRSEQ_ACTIVATIONS, LAYER_NORM_EPS, Config, Family, State, as_flags

LARGEST_SCALE = 64.0
BERT_EPS = 1e-12  # DistilBERT's, too, which has no option for it
HEAD = "classification_heads.sentence_classification_head"
ENCODER = "encoder.sentence_encoder"
SEGMENTED = ("bert", "electra")  # model types whose tokenizers tell the two sentences apart
SEGMENTS = f"{ENCODER}.embed_positions.token_types.weight"
FOLDED = "folded_segment"  # option: the segment that is added to the positions, see `--segment`
BARE = "Model"  # ends the name of a class without a head
ALLOWED = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}


def eps_of(config: Config) -> float:
    """Return the eps of the model's LayerNorms."""
    return float(config.get("layer_norm_eps", BERT_EPS))


def has_segments(config: Config) -> bool:
    """Return true if a model becomes our `bert`, with its segments."""
    segments = int(config.get("type_vocab_size", 1))
    return _prefix(config) in SEGMENTED and segments > 1 and config.get(FOLDED) is None


def eps_scale(config: Config) -> float:
    """Return the power of two that gives fairseq's first LayerNorm nearly the model's eps."""
    if has_segments(config):
        return 1.0
    ratio = math.sqrt(LAYER_NORM_EPS / eps_of(config))
    return min(LARGEST_SCALE, 2.0 ** round(math.log2(ratio)))


def first_position(config: Config) -> int:
    """Return the row of position 0 in the table of positions."""
    return int(config["pad_token_id"]) + 1 if _prefix(config) == "roberta" else 0


def positions(config: Config) -> int:
    """Return the maximum number of tokens of the model."""
    return int(config["max_position_embeddings"]) - first_position(config)


def encoder_problem(config: Config) -> str | None:
    """Return all reasons why fairseq's encoder cannot stand for the model's; or None."""
    eps, width = eps_of(config), config.get("embedding_size")
    reasons = []
    if not 0 < eps <= LAYER_NORM_EPS:
        reasons.append(f"layer_norm_eps: expected at most {LAYER_NORM_EPS}, got {eps}")
    if width not in (None, config.get("hidden_size")):
        reasons.append(
            f"embedding_size: expected the hidden_size of {config.get('hidden_size')}, got "
            f"{width}: fairseq has no projection behind the embeddings"
        )
    return "; ".join(reasons) or None


def segment_problem(config: Config, segment: int | None) -> str | None:
    """Return why a model of any family cannot be taken with `--segment`, or without it."""
    segments = int(config.get("type_vocab_size", 0))
    if segment is None and segments > 1 and config["model_type"] not in SEGMENTED:
        return (
            f"type_vocab_size: expected 1, got {segments}: --segment 0 takes the model for segment "
            "0 everywhere"
        )
    if segment is None or 0 <= segment < segments:
        return None
    if not segments:
        return f"--segment {segment}: {config['model_type']} has no segments"
    return f"--segment {segment}: expected 0 to {segments - 1}"


def flags(config: Config) -> list[str]:
    """Return the flags of fairseq-train for a model."""
    names = _names(config)
    words = ["--arch", "bert" if has_segments(config) else "roberta_base"]
    words += [*as_flags(config, names.options), "--max-positions", str(positions(config))]
    words += ["--activation-fn", FAIRSEQ_ACTIVATIONS[config[names.activation]]]
    words += ["--pooler-activation-fn", names.pooler] if names.pooler != "tanh" else []
    if has_segments(config):
        words += ["--token-types", str(config["type_vocab_size"])]
        words += ["--layer-norm-eps", str(eps_of(config))]
    untied = eps_scale(config) != 1 or not config.get("tie_word_embeddings", True)
    return words + (["--untie-weights-roberta"] if untied else [])


def rows(config: Config, order: Tensor, architecture: str) -> list[Row]:
    """Return the table of names, layers as `{}`."""
    names, scale = _names(config), eps_scale(config)
    prefix = "" if architecture.endswith(BARE) else f"{_prefix(config)}."
    embeddings, plain = f"{prefix}embeddings", Rows(order)
    words = Rows(order, scale) if scale != 1 else plain  # one operation: tied tensors stay tied
    place = Positions(first_position(config), scale=scale)
    table = [
        row(f"{ENCODER}.embed_tokens.weight", f"{embeddings}.word_embeddings.weight", words),
        row(f"{ENCODER}.embed_positions.weight", f"{embeddings}.position_embeddings.weight", place),
        *linear(f"{ENCODER}.layernorm_embedding", f"{embeddings}.LayerNorm"),
    ]
    if has_segments(config):
        hf_name = f"{embeddings}.token_type_embeddings.weight"
        table.append(row(SEGMENTS, hf_name))
    for part, hf_part in names.layer.items():
        hf_name = f"{prefix}{names.stack}.{{}}.{hf_part}"
        table += linear(f"{ENCODER}.layers.{{}}.{part}", hf_name, "encoder")
    if architecture.endswith("ForSequenceClassification"):
        for part, hf_part in names.classifier.items():
            table += linear(f"{HEAD}.{part}", hf_part)
    if not architecture.endswith("ForMaskedLM"):
        return table
    dense, norm, weight, bias = names.mlm_head
    table += linear("encoder.lm_head.dense", dense) + linear("encoder.lm_head.layer_norm", norm)
    table.append(row("encoder.lm_head.weight", weight, plain))
    return [*table, row("encoder.lm_head.bias", bias, plain)]


def fold_segment(config: Config, state: State) -> State:
    """Add a row of the segment embeddings to every position; a row of zeros changes nothing."""
    name = "embeddings.token_type_embeddings.weight"
    name = next((key for key in state if key.endswith(name)), "")
    if has_segments(config) or not name:
        return state
    place = name.replace("token_type", "position")
    added = state[name][config.get(FOLDED) or 0]
    return {**state, place: state[place] + added} if bool(added.any()) else state


def _prefix(config: Config) -> str:
    model_type = str(config["model_type"])
    return model_type if model_type in ENCODERS else "roberta"


def _names(config: Config) -> EncoderNames:
    return ENCODERS[_prefix(config)]


def _family(
    model_type: str, prefix: str, alphabet: str, allowed: Mapping[str, Any] = ALLOWED
) -> Family:
    names = _names({"model_type": model_type})
    kind = _prefix({"model_type": model_type})
    layers = next(x for x, flag in names.options.items() if flag == "--encoder-layers")
    heads = (
        ("ForMaskedLM", "ForSequenceClassification")
        if names.mlm_head
        else ("ForSequenceClassification",)
    )
    return Family(
        model_type=model_type,
        classes=tuple(f"{prefix}{head}" for head in (*heads, BARE)),
        task="masked_lm",
        alphabet=alphabet,
        layers={"encoder": layers},
        activation=names.activation,
        allowed=allowed,
        check=encoder_problem,
        flags=flags,
        rows=rows,
        prepare=fold_segment,
        unused=(
            rf"({kind}\.)?embeddings\.(token_type_embeddings\.weight|position_ids)",
            r"(lm_head|cls\.predictions)\.decoder\.bias",  # the bias once more
            rf"({kind}\.)?pooler\..*",
            r"cls\.seq_relationship\..*",
            r"discriminator_predictions\..*",
        ),
    )


ROBERTA = _family("roberta", "Roberta", "gpt2")
XLM_R = _family("xlm-roberta", "XLMRoberta", "pieces")
BERT = _family("bert", "Bert", "wordpiece")
ELECTRA = _family("electra", "Electra", "wordpiece")
DISTILBERT = _family(
    "distilbert", "DistilBert", "wordpiece", {"sinusoidal_pos_embds": (False, True)}
)
