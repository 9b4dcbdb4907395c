"""Map BART, mBART, M2M-100 and NLLB (and FSMT, to write only) to fairseq's transformer.

They are fairseq's own models: the same layers under the same names, with `model.` in front.
BART and mBART keep learned positions from row 2 on, as fairseq does with padding index 1.

The model is called `transformer`, for BART too: fairseq's model `bart` is the same one with
classification heads, and reads its configuration from a pickled object. `--arch bart_base` and the
like load these weights (`--finetune-from-model`).
"""

from functools import partial

from torch import Tensor

from ..tables import Positions, Row, Rows, linear, row
from .family import FAIRSEQ_ACTIVATIONS, Config, Family, as_flags

OPTIONS = {
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
LAYERS = {"encoder": "encoder_layers", "decoder": "decoder_layers"}
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
AROUND = {
    "bart": ("embed_positions", "layernorm_embedding"),
    "mbart": ("embed_positions", "layernorm_embedding", "layer_norm"),
    "m2m_100": ("layer_norm",),
    "fsmt": (),
}


def size_flags(config: Config) -> list[str]:
    """Return the flags of sizes, activation function and scale of the embeddings."""
    words = as_flags(config, OPTIONS)
    words += ["--decoder-embed-dim", str(config["d_model"])]
    words += ["--max-target-positions", str(config["max_position_embeddings"])]
    words += ["--activation-fn", FAIRSEQ_ACTIVATIONS[config["activation_function"]]]
    return words if config["scale_embedding"] else [*words, "--no-scale-embedding"]


def flags(config: Config) -> list[str]:
    """Return the flags of fairseq-train for a model."""
    words = ["--arch", "transformer", "--share-all-embeddings", *size_flags(config)]
    return words + [flag for name in AROUND[config["model_type"]] for flag in FLAGS[name]]


def rows(config: Config, order: Tensor, architecture: str, around: tuple[str, ...]) -> list[Row]:
    """Return the table of names, layers as `{}`.

    Args:
        around: what stands before and behind the layers of each module: `embed_positions`, and
            LayerNorms.
    """
    words, places = Rows(order), Positions(first=2)
    table = []
    for module, parts in PARTS.items():
        words_name = f"{module}.embed_tokens.weight"
        table.append(row(words_name, f"model.{words_name}", words))
        for name in (f"{module}.{part}" for part in around):
            if name.endswith("embed_positions"):
                table.append(row(f"{name}.weight", f"model.{name}.weight", places))
            else:
                table += linear(name, f"model.{name}")
        for name in (f"{module}.layers.{{}}.{part}" for part in parts):
            table += linear(name, f"model.{name}", module)
    output = "decoder.output_projection.weight"
    if architecture.startswith("FSMT"):
        return [*table, row(output, f"model.{output}", words)]
    table.append(row("encoder.embed_tokens.weight", "model.shared.weight", words))
    return [*table, row(output, "lm_head.weight", words)]


def _family(model_type: str, prefix: str, task: str, alphabet: str = "multilingual") -> Family:
    learned = "embed_positions" in AROUND[model_type]
    return Family(
        model_type=model_type,
        classes=(f"{prefix}ForConditionalGeneration",),
        task=task,
        alphabet=alphabet,
        layers=LAYERS,
        activation="activation_function",
        allowed={"tie_word_embeddings": (True,), "pad_token_id": (1,)},
        start=None if model_type == "mbart" else "eos_token_id",
        flags=flags,
        rows=partial(rows, around=AROUND[model_type]),
        unused=() if learned else (r"model\.(encoder|decoder)\.embed_positions\.weights?",),
        zero=("final_logits_bias",),
    )


BART = _family("bart", "Bart", "translation", "gpt2")
MBART = _family("mbart", "MBart", "translation_from_pretrained_bart", "mbart")
M2M = _family("m2m_100", "M2M100", "translation_multi_simple_epoch")
FSMT = _family("fsmt", "FSMT", "translation")
