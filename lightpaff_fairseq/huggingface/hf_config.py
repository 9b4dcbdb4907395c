"""Derive the Hugging Face configuration of a fairseq model, or all reasons why there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..problems import Problems
from .families import bart, gpt2
from .families.bart import BART, FSMT, M2M, MBART
from .families.bert import BERT, ROBERTA
from .families.encoder_names import BERT_OPTIONS
from .families.family import (
    HF_ACTIVATIONS,
    LAYER_NORM_EPS,
    Config,
    Family,
    as_options,
    wrong_values,
)
from .families.gpt2 import GPT2

Tensors = Mapping[str, Tensor]
Derived = tuple[Family, dict[str, Any]]

OFF: tuple[Any, ...] = (None, False, 0, 0.0, "")
# Options that no class of transformers has.
NOWHERE = (
    "adaptive_input adaptive_softmax_cutoff character_embeddings no_token_positional_embeddings "
    "no_cross_attention cross_self_attention no_decoder_final_norm base_layers scale_fc scale_attn "
    "scale_heads scale_resids quant_noise_pq encoder_layers_to_keep decoder_layers_to_keep"
).split()
BERT_ONLY = {"type_vocab_size": "token_types", "layer_norm_eps": "layer_norm_eps"}
WIDTHS = ("decoder_input_dim", "decoder_output_dim")
FORM = ("encoder_learned_pos", "encoder_normalize_before", "layernorm_embedding")
FAMILY_OF_FORM: Mapping[tuple[bool, ...], Family] = {
    (True, False, True): BART,
    (True, True, True): MBART,
    (False, True, False): M2M,
    (False, False, False): FSMT,
}


def derive(model: str, section: Config, tensors: Tensors, order: Sequence[int]) -> Derived:
    """Return the family that can hold a model, and its configuration.

    Args:
        model: fairseq's name of the model.
        section: its configuration, architecture defaults applied.
        order: the Hugging Face id of each token of the (target) dictionary.
    Raises:
        ValueError: no class of transformers can hold it: all reasons.
    """
    kinds = {"roberta": _roberta, "bert": _bert, "transformer_lm": _gpt2}
    kinds |= dict.fromkeys(("transformer", "mass", "bart"), _transformer)
    if model not in kinds:
        raise ValueError(f"model: expected one of {', '.join(kinds)}, got {model}")
    problems = Problems()
    for name in NOWHERE:
        value = section.get(name)
        problems.unless(value in OFF, f"{name}: expected off, got {value!r}")
    problems.extend(wrong_values(section, {"activation_fn": tuple(HF_ACTIVATIONS)}))
    family, config = kinds[model](section, tensors, problems)
    problems.unless(
        family not in (M2M, FSMT) or order[1] == 1,  # where their sinusoids begin
        f"sinusoidal positions: expected <pad> with the id 1, got {order[1]}",
    )
    problems.raise_if_any("no class of transformers holds this model: ")
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    if family not in (ROBERTA, BERT, GPT2):  # their defaults are 2, whatever number </s> has
        ids |= {"decoder_start_token_id": 2, "forced_eos_token_id": 2}
    return family, {**{name: order[i] for name, i in ids.items()}, **config}


def _roberta(section: Config, tensors: Tensors, problems: Problems) -> Derived:
    heads = {name.split(".")[1] for name in tensors if name.startswith("classification_heads.")}
    on = ("encoder_learned_pos", "layernorm_embedding", "no_scale_embedding")
    problems.extend(wrong_values(section, dict.fromkeys(on, (True,))))
    problems.extend(wrong_values(section, {"encoder_normalize_before": (False, None)}))
    if heads:
        problems.extend(wrong_values(section, {"pooler_activation_fn": ("tanh",)}))
    problems.unless(
        len(heads) <= 1, f"classification heads: expected one, got {', '.join(sorted(heads))}"
    )
    width = section["encoder_embed_dim"]
    for head in heads:
        inner = len(tensors[f"classification_heads.{head}.dense.weight"])
        problems.unless(
            inner == width, f"classification head: expected a width of {width}, got {inner}"
        )
    known = {
        "vocab_size": _rows(tensors, "encoder.sentence_encoder.embed_tokens"),
        "hidden_act": HF_ACTIVATIONS.get(section["activation_fn"]),
        "type_vocab_size": 1,
        "layer_norm_eps": LAYER_NORM_EPS,
        "tie_word_embeddings": not section.get("untie_weights_roberta", False),
    }
    return ROBERTA, as_options(section, BERT_OPTIONS, known)


def _bert(section: Config, tensors: Tensors, problems: Problems) -> Derived:
    _, config = _roberta(section, tensors, problems)
    known = {key: section[name] for key, name in BERT_ONLY.items()}
    return BERT, {**config, **known}


def _gpt2(section: Config, tensors: Tensors, problems: Problems) -> Derived:
    width = section["decoder_embed_dim"]
    on = ("decoder_learned_pos", "decoder_normalize_before", "no_scale_embedding")
    problems.extend(wrong_values(section, dict.fromkeys(on, (True,))))
    problems.extend(wrong_values(section, {"layernorm_embedding": (False, None)}))
    problems.extend(wrong_values(section, dict.fromkeys(WIDTHS, (width,))))
    known = {
        "vocab_size": _rows(tensors, "decoder.embed_tokens"),
        "n_inner": section["decoder_ffn_embed_dim"],
        "activation_function": HF_ACTIVATIONS.get(section["activation_fn"]),
        "embd_pdrop": section["dropout"],
        "n_positions": _rows(tensors, "decoder.embed_positions", 2) - 2,
        "tie_word_embeddings": bool(section.get("share_decoder_input_output_embed")),
    }
    return GPT2, as_options(section, gpt2.OPTIONS, known)


def _transformer(section: Config, tensors: Tensors, problems: Problems) -> Derived:
    for name in ("learned_pos", "normalize_before", "embed_dim"):
        encoder, decoder = section[f"encoder_{name}"], section[f"decoder_{name}"]
        text = f"decoder_{name}: expected the encoder's {encoder}, got {decoder}"
        problems.unless(encoder == decoder, text)
    problems.extend(wrong_values(section, dict.fromkeys(WIDTHS, (section["decoder_embed_dim"],))))
    form = tuple(bool(section.get(name)) for name in FORM)
    problems.unless(
        form in FAMILY_OF_FORM,
        f"{', '.join(FORM)}: expected {' or '.join(map(str, FAMILY_OF_FORM))}, got {form}",
    )
    family = FAMILY_OF_FORM.get(form, BART)
    sizes = [_rows(tensors, f"{module}.embed_tokens") for module in bart.PARTS]
    problems.unless(
        family is FSMT or sizes[0] == sizes[1],
        f"dictionaries: expected as many symbols in both, got {sizes[0]} and {sizes[1]}",
    )
    positions = [
        _rows(tensors, f"{module}.embed_positions", section[f"max_{name}_positions"] + 2) - 2
        for module, name in (("encoder", "source"), ("decoder", "target"))
    ]
    problems.unless(
        positions[0] == positions[1] or family not in (BART, MBART),
        f"positions: expected as many in encoder and decoder, got {positions}",
    )
    known = {
        "model_type": family.model_type,
        **{f"{x}_layerdrop": section.get(f"{x}_layerdrop") or 0.0 for x in bart.PARTS},
        "activation_function": HF_ACTIVATIONS.get(section["activation_fn"]),
        "activation_dropout": section.get("activation_dropout") or section.get("relu_dropout") or 0,
        "max_position_embeddings": max(positions),
        "scale_embedding": not section.get("no_scale_embedding"),
    }
    if family is FSMT:
        known |= {"src_vocab_size": sizes[0], "tgt_vocab_size": sizes[1]}
    else:
        tied = bool(section.get("share_all_embeddings"))
        known |= {"vocab_size": sizes[1], "tie_word_embeddings": tied}
    return family, as_options(section, bart.OPTIONS, known)


def _rows(tensors: Tensors, name: str, otherwise: int = 0) -> int:
    """Return how many rows a table of embeddings has, `otherwise` if there is none."""
    table = tensors.get(f"{name}.weight")
    return int(otherwise) if table is None else len(table)
