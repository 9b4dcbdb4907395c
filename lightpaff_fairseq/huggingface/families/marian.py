"""Marian (OPUS-MT) in fairseq's transformer: one way only.

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
from .family import Config, Family, Wanted, wrong_activation, wrong_values
from .seq2seq import _scale, _sizes, layers, table

NEVER = -1e4
SMALLEST_GAIN = 1e-4
OUTPUT = "lm_head.weight"


def problems(config: Config, wanted: Wanted) -> list[str]:
    """All that cannot be folded."""
    found = wrong_activation(config, "activation_function") + wrong_values(
        config, {"share_encoder_decoder_embeddings": (True,), "tie_word_embeddings": (True,)}
    )
    pad, start = config.get("pad_token_id"), config.get("decoder_start_token_id")
    if pad != start:
        found.append(f"decoder_start_token_id: expected that of <pad> ({pad}), found {start}")
    if wanted.segment is not None:
        found.append(f"--segment {wanted.segment}: marian has no segments")
    return found


def flags(config: Config) -> list[str]:
    """The flags of fairseq-train for this model."""
    words = ["--arch", "transformer", *_sizes(config), *_scale(config)]
    return [*words, "--encoder-learned-pos", "--decoder-learned-pos"]


def rows(config: Config, order: Tensor, architecture: str) -> list[Row]:
    """The table of names, of the state dict that `prepare` returns."""
    places = Positions(first=0)
    names = [f"{side}.embed_positions.weight" for side in ("encoder", "decoder")]
    found = [row(name, f"model.{name}", places) for name in names]
    plain = table(config, order, architecture, ())
    return found + [one for one in plain if one.theirs != "model.shared.weight"]


def prepare(config: Config, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Folds start symbol, bias and the row of `<s>` into the tables, in float64.

    Raises:
        ValueError: the last LayerNorm has a gain of nearly 0.
    """
    last = f"model.decoder.layers.{int(config['decoder_layers']) - 1}.final_layer_norm"
    gain, shift = theirs[f"{last}.weight"].double(), theirs[f"{last}.bias"].double()
    if float(gain.abs().min()) < SMALLEST_GAIN:
        raise ValueError(
            f"{last}.weight: expected gains of at least {SMALLEST_GAIN} in size, found "
            f"{float(gain.abs().min()):.2g}: final_logits_bias cannot be folded"
        )
    shared, kind = theirs["model.shared.weight"], theirs["model.shared.weight"].dtype
    sign = 1.0 if float((shift / gain).sum()) >= 0 else -1.0
    shift = shift + sign * gain
    output = torch.cat([shared.double(), torch.zeros_like(shared[:1]).double()])
    bias = theirs["final_logits_bias"].double().reshape(-1) - sign * (shared.double() @ gain)
    bias = torch.cat([bias, bias.new_tensor([NEVER])])
    output = output + torch.outer(bias, 1 / gain / (shift / gain).sum())
    encoder = torch.cat([shared, torch.zeros_like(shared[:1])])
    decoder = encoder.clone()
    decoder[int(config["eos_token_id"])] = shared[int(config["pad_token_id"])]
    return {
        **theirs,
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
    problems=problems,
    flags=flags,
    rows=rows,
    layers=layers,
    prepare=prepare,
    unused=(r"final_logits_bias", r"model\.shared\.weight"),
)
