"""Map GPT-2 to fairseq's model `transformer_lm`.

Its query, key and value are one transposed matrix. Its vocabulary has no `<s>`, `<pad>` and
`<unk>`: see `vocabulary`.
"""

from torch import Tensor

from ..tables import Parts, Positions, Row, Rows, linear, row
from .family import FAIRSEQ_ACTIVATIONS, LAYER_NORM_EPS, Config, Family, as_flags

OPTIONS = {
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
ALLOWED = {
    "layer_norm_epsilon": (LAYER_NORM_EPS,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}


def flags(config: Config) -> list[str]:
    """Return the flags of fairseq-train for a model."""
    width, length = str(config["n_embd"]), str(config["n_positions"])
    ffn = config.get("n_inner") or 4 * int(width)
    words = ["--arch", "transformer_lm", *as_flags(config, OPTIONS)]
    words += ["--decoder-input-dim", width, "--decoder-output-dim", width]
    words += ["--decoder-ffn-embed-dim", str(ffn), "--tokens-per-sample", length]
    words += ["--decoder-learned-pos", "--decoder-normalize-before", "--no-scale-embedding"]
    words += ["--activation-fn", FAIRSEQ_ACTIVATIONS[config["activation_function"]]]
    tied = config.get("tie_word_embeddings", True)
    return words + (["--share-decoder-input-output-embed"] if tied else [])


def rows(config: Config, order: Tensor, architecture: str) -> list[Row]:
    """Return the table of names, layers as `{}`."""
    words = Rows(order)
    table = [
        row("decoder.embed_tokens.weight", "transformer.wte.weight", words),
        row("decoder.output_projection.weight", "lm_head.weight", words),
        row("decoder.embed_positions.weight", "transformer.wpe.weight", Positions(first=0)),
        *linear("decoder.layer_norm", "transformer.ln_f"),
    ]
    layer, hf_layer = "decoder.layers.{}", "transformer.h.{}"
    for part, hf_part in NORMS.items():
        table += linear(f"{layer}.{part}", f"{hf_layer}.{hf_part}", "decoder")
    for parts, hf_part in MATRICES.items():
        for kind in ("weight", "bias"):
            names = tuple(f"{layer}.{part}.{kind}" for part in parts)
            hf_name = f"{hf_layer}.{hf_part}.{kind}"
            table.append(Row(names, hf_name, Parts(len(parts), transposed=True), "decoder"))
    return table


GPT2 = Family(
    model_type="gpt2",
    classes=("GPT2LMHeadModel",),
    task="language_modeling",
    alphabet="gpt2",
    layers={"decoder": "n_layer"},
    activation="activation_function",
    allowed=ALLOWED,
    flags=flags,
    rows=rows,
)
