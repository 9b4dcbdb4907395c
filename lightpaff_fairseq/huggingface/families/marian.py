"""Map Marian (OPUS-MT) to fairseq's transformer, one way only.

Three things have no place in fairseq and are folded into weights, exactly in real numbers:

- Marian's sinusoids are others than fairseq's: they become a table of learned positions.
- Its decoder starts with `<pad>`, fairseq's with `</s>`: the decoder gets a table of its own, in
  which `</s>` has the row of `<pad>`. Marian's decoder never reads `</s>`.
- Its logits have a bias b. The last LayerNorm gives h = g * n + c with n of mean 0, so
  sum(h / g) = sum(c / g) = s whatever the input: the output matrix W + b (1 / g)' / s gives
  W h + b. To keep s away from 0, g itself is first added to c (s grows by the width), which
  W g taken off b undoes.

`<s>`, which fairseq wants and Marian lacks, is a new row whose logit is `NEVER`.
"""

import torch
from torch import Tensor

from ..tables import Positions, Row, row
from . import bart
from .family import Config, Family, State

NEVER = -1e4
SMALLEST_GAIN = 1e-4
OUTPUT = "lm_head.weight"


def flags(config: Config) -> list[str]:
    """Return the flags of fairseq-train for a model."""
    learned = bart.FLAGS["embed_positions"]
    return ["--arch", "transformer", *bart.size_flags(config), *learned]


def rows(config: Config, order: Tensor, architecture: str) -> list[Row]:
    """Return the table of names of what `fold_start_and_bias` returns, layers as `{}`."""
    places = Positions(first=0)
    names = [f"{module}.embed_positions.weight" for module in bart.PARTS]
    table = [row(name, f"model.{name}", places) for name in names]
    plain = bart.rows(config, order, architecture, around=())
    return table + [one for one in plain if one.hf != "model.shared.weight"]


def fold_start_and_bias(config: Config, state: State) -> State:
    """Fold start token, bias and the row of `<s>` into the tables, in float64.

    Raises:
        ValueError: the last LayerNorm has a gain of nearly 0.
    """
    last = f"model.decoder.layers.{int(config['decoder_layers']) - 1}.final_layer_norm"
    gain, shift = state[f"{last}.weight"].double(), state[f"{last}.bias"].double()
    if float(gain.abs().min()) < SMALLEST_GAIN:
        raise ValueError(
            f"{last}.weight: expected gains of at least {SMALLEST_GAIN} in size, got "
            f"{float(gain.abs().min()):.2g}: final_logits_bias cannot be folded"
        )
    shared, kind = state["model.shared.weight"], state["model.shared.weight"].dtype
    sign = 1.0 if float((shift / gain).sum()) >= 0 else -1.0
    shift = shift + sign * gain
    output = torch.cat([shared.double(), torch.zeros_like(shared[:1]).double()])
    bias = state["final_logits_bias"].double().reshape(-1) - sign * (shared.double() @ gain)
    bias = torch.cat([bias, bias.new_tensor([NEVER])])
    output = output + torch.outer(bias, 1 / gain / (shift / gain).sum())
    encoder = torch.cat([shared, torch.zeros_like(shared[:1])])
    decoder = encoder.clone()
    decoder[int(config["eos_token_id"])] = shared[int(config["pad_token_id"])]
    return {
        **state,
        f"{last}.bias": shift.to(kind),
        "model.encoder.embed_tokens.weight": encoder,
        "model.decoder.embed_tokens.weight": decoder,
        OUTPUT: output.to(kind),
    }


MARIAN = Family(
    model_type="marian",
    classes=("MarianMTModel",),
    task="translation",
    alphabet="marian",
    layers=bart.LAYERS,
    activation="activation_function",
    allowed={"share_encoder_decoder_embeddings": (True,), "tie_word_embeddings": (True,)},
    start="pad_token_id",
    flags=flags,
    rows=rows,
    prepare=fold_start_and_bias,
    unused=(r"final_logits_bias", r"model\.shared\.weight"),
)
