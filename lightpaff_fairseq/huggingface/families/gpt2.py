"""GPT-2 in fairseq's model `transformer_lm`.

Its query, key and value are one transposed matrix. Its vocabulary has no `<s>`, `<pad>` and
`<unk>`: see `vocabulary`.
"""

from torch import Tensor

from ..tables import Positions, Row, Rows, Transposed, linear, row
from .family import ACTIVATIONS, Config, Family, Wanted, as_flags, wrong_activation, wrong_values

SIZES = {
    "n_layer": "--decoder-layers",
    "n_embd": "--decoder-embed-dim",
    "n_head": "--decoder-attention-heads",
    "n_positions": "--max-target-positions",
    "resid_pdrop": "--dropout",
    "attn_pdrop": "--attention-dropout",
}
QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
NORMS = {"self_attn_layer_norm": "ln_1", "final_layer_norm": "ln_2"}
MATRICES = {
    ("self_attn.out_proj",): "attn.c_proj",
    ("fc1",): "mlp.c_fc",
    ("fc2",): "mlp.c_proj",
    QKV: "attn.c_attn",
}


def problems(config: Config, wanted: Wanted) -> list[str]:
    """All that fairseq's `transformer_lm` cannot do."""
    found = wrong_activation(config, "activation_function") + wrong_values(
        config,
        {
            "layer_norm_epsilon": (1e-5,),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
    )
    if wanted.segment is not None:
        found.append(f"--segment {wanted.segment}: GPT-2 has no segments")
    return found


def flags(config: Config) -> list[str]:
    """The flags of fairseq-train for this model."""
    ffn = config.get("n_inner") or 4 * int(config["n_embd"])
    words = ["--arch", "transformer_lm", *as_flags(config, SIZES)]
    words += ["--decoder-input-dim", str(config["n_embd"])]
    words += ["--decoder-output-dim", str(config["n_embd"])]
    words += ["--decoder-ffn-embed-dim", str(ffn), "--tokens-per-sample"]
    words += [str(config["n_positions"]), "--decoder-learned-pos", "--decoder-normalize-before"]
    words += ["--no-scale-embedding", "--activation-fn"]
    words += [ACTIVATIONS[config["activation_function"]]]
    return words + (
        ["--share-decoder-input-output-embed"] if config.get("tie_word_embeddings", True) else []
    )


def rows(config: Config, order: Tensor, architecture: str) -> list[Row]:
    """The table of names, layers as `{}`."""
    words = Rows(order)
    found = [
        row("decoder.embed_tokens.weight", "transformer.wte.weight", words),
        row("decoder.output_projection.weight", "lm_head.weight", words),
        row("decoder.embed_positions.weight", "transformer.wpe.weight", Positions(first=0)),
        *linear("decoder.layer_norm", "transformer.ln_f"),
    ]
    for mine, theirs in NORMS.items():
        found += linear(f"decoder.layers.{{}}.{mine}", f"transformer.h.{{}}.{theirs}", "decoder")
    for parts, theirs in MATRICES.items():
        operation = Transposed(len(parts))
        for kind in ("weight", "bias"):
            names = tuple(f"decoder.layers.{{}}.{part}.{kind}" for part in parts)
            found.append(Row(names, f"transformer.h.{{}}.{theirs}.{kind}", operation, "decoder"))
    return found


def layers(config: Config) -> dict[str, int]:
    """Layers a side."""
    return {"decoder": int(config["n_layer"])}


GPT2 = Family(
    model_type="gpt2",
    classes=("GPT2LMHeadModel",),
    task="language_modeling",
    alphabet="gpt2",
    problems=problems,
    flags=flags,
    rows=rows,
    layers=layers,
)
