"""BART, mBART, M2M-100 and NLLB (and FSMT, to write only) in fairseq's transformer.

They are fairseq's own models: the same layers under the same names, with `model.` in front.
BART and mBART keep learned positions from row 2 on, as fairseq does with padding index 1.

The model is called `transformer`, for BART too: fairseq's model `bart` is the same one with
classification heads, and reads its configuration from a pickled object. `--arch bart_base` and the
like load these weights (`--finetune-from-model`).
"""

from functools import partial

from torch import Tensor

from ..tables import Positions, Row, Rows, linear, row
from .family import ACTIVATIONS, Config, Family, Wanted, as_flags, wrong_activation, wrong_values

SIZES = {
    "d_model": "--encoder-embed-dim",
    "encoder_layers": "--encoder-layers",
    "encoder_ffn_dim": "--encoder-ffn-embed-dim",
    "encoder_attention_heads": "--encoder-attention-heads",
    "decoder_layers": "--decoder-layers",
    "decoder_ffn_dim": "--decoder-ffn-embed-dim",
    "decoder_attention_heads": "--decoder-attention-heads",
    "max_position_embeddings": "--max-source-positions",
    "dropout": "--dropout",
    "attention_dropout": "--attention-dropout",
    "activation_dropout": "--relu-dropout",
}
ATTENTION = ("k_proj", "v_proj", "q_proj", "out_proj")
PARTS = {
    "encoder": (
        *(f"self_attn.{part}" for part in ATTENTION),
        *("self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"),
    ),
    "decoder": (
        *(f"self_attn.{part}" for part in ATTENTION),
        *(f"encoder_attn.{part}" for part in ATTENTION),
        *("self_attn_layer_norm", "encoder_attn_layer_norm", "fc1", "fc2", "final_layer_norm"),
    ),
}
FLAGS = {  # what stands around the layers, and the flags that put it there
    "embed_positions": ("--encoder-learned-pos", "--decoder-learned-pos"),
    "layernorm_embedding": ("--layernorm-embedding",),
    "layer_norm": ("--encoder-normalize-before", "--decoder-normalize-before"),
}


def problems(config: Config, wanted: Wanted) -> list[str]:
    """All that fairseq's transformer cannot do."""
    found = wrong_activation(config, "activation_function") + wrong_values(
        config, {"tie_word_embeddings": (True,), "pad_token_id": (1,)}
    )
    start = config.get("decoder_start_token_id")
    if config["model_type"] != "mbart" and start != config.get("eos_token_id"):
        found.append(
            "decoder_start_token_id: expected that of </s>, with which fairseq's decoders start "
            f"({config.get('eos_token_id')}), found {start}"
        )
    if wanted.segment is not None:
        found.append(f"--segment {wanted.segment}: {config['model_type']} has no segments")
    return found


def _sizes(config: Config) -> list[str]:
    words = as_flags(config, SIZES)
    words += ["--decoder-embed-dim", str(config["d_model"])]
    words += ["--max-target-positions", str(config["max_position_embeddings"])]
    return [*words, "--activation-fn", ACTIVATIONS[config["activation_function"]]]


def _scale(config: Config) -> list[str]:
    return [] if config["scale_embedding"] else ["--no-scale-embedding"]


def transformer_flags(config: Config) -> list[str]:
    """The flags of fairseq-train for a model of these families."""
    kind = config["model_type"]
    words = ["--arch", "transformer", "--share-all-embeddings", *_sizes(config), *_scale(config)]
    return words + [flag for name in NAMES[kind] for flag in FLAGS[name]]


def table(config: Config, order: Tensor, architecture: str, names: tuple[str, ...]) -> list[Row]:
    """The table of names, layers as `{}`.

    Args:
        names: what stands before and behind the layers of each side: `embed_positions`, and
            LayerNorms.
    """
    words, places = Rows(order), Positions(first=2)
    found = []
    for side, parts in PARTS.items():
        theirs = f"model.{side}"
        found.append(row(f"{side}.embed_tokens.weight", f"{theirs}.embed_tokens.weight", words))
        for name in names:
            if name == "embed_positions":
                found.append(row(f"{side}.{name}.weight", f"{theirs}.{name}.weight", places))
            else:
                found += linear(f"{side}.{name}", f"{theirs}.{name}")
        for part in parts:
            found += linear(f"{side}.layers.{{}}.{part}", f"{theirs}.layers.{{}}.{part}", side)
    if architecture.startswith("FSMT"):
        output = "model.decoder.output_projection.weight"
        return [*found, row("decoder.output_projection.weight", output, words)]
    found.append(row("encoder.embed_tokens.weight", "model.shared.weight", words))
    return [*found, row("decoder.output_projection.weight", "lm_head.weight", words)]


def layers(config: Config) -> dict[str, int]:
    """Layers a side."""
    return {side: int(config[f"{side}_layers"]) for side in PARTS}


def family(model_type: str, prefix: str, task: str) -> Family:
    """A family of this kind."""
    learned = "embed_positions" in NAMES[model_type]
    return Family(
        model_type=model_type,
        classes=(f"{prefix}ForConditionalGeneration",),
        task=task,
        alphabet={"bart": "gpt2", "mbart": "mbart"}.get(model_type, "multilingual"),
        problems=problems,
        flags=transformer_flags,
        rows=partial(table, names=NAMES[model_type]),
        layers=layers,
        unused=() if learned else (r"model\.(encoder|decoder)\.embed_positions\.weights?",),
        zero=("final_logits_bias",),
    )


NAMES = {
    "bart": ("embed_positions", "layernorm_embedding"),
    "mbart": ("embed_positions", "layernorm_embedding", "layer_norm"),
    "m2m_100": ("layer_norm",),
    "fsmt": (),
}
BART = family("bart", "Bart", "translation")
MBART = family("mbart", "MBart", "translation_from_pretrained_bart")
M2M = family("m2m_100", "M2M100", "translation_multi_simple_epoch")
FSMT = family("fsmt", "FSMT", "translation")
