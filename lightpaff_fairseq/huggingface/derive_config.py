"""The Hugging Face configuration of a fairseq model, or all reasons why there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from .families.bert import ROBERTA
from .families.family import THEIR_ACTIVATIONS, Family
from .families.gpt2 import GPT2
from .families.seq2seq import BART, FSMT, M2M, MBART

Section = Mapping[str, Any]
Derived = tuple[Family, dict[str, Any]]

OFF: tuple[Any, ...] = (None, False, 0, 0.0, "")
# Options that no class of transformers has, with the values that mean off.
NOWHERE = (
    "adaptive_input adaptive_softmax_cutoff character_embeddings no_token_positional_embeddings "
    "no_cross_attention cross_self_attention no_decoder_final_norm base_layers scale_fc scale_attn "
    "scale_heads scale_resids quant_noise_pq encoder_layers_to_keep decoder_layers_to_keep"
).split()
# (learned positions, LayerNorm before a block, LayerNorm on embeddings) of both sides.
TRANSFORMERS = {
    (True, False, True): BART,
    (True, True, True): MBART,
    (False, True, False): M2M,
    (False, False, False): FSMT,
}


def derive(model: str, section: Section, tensors: Mapping[str, Tensor], order: Tensor) -> Derived:
    """The family that can hold a model, and its configuration.

    Args:
        model: fairseq's name of the model; `section`: its configuration, defaults filled in.
        order: `(V,)` the Hugging Face id of each symbol of the (target) dictionary.
    Raises:
        ValueError: no class can hold it: all reasons at once.
    """
    kinds = {"roberta": _roberta, "transformer_lm": _gpt2}
    kinds |= dict.fromkeys(("transformer", "mass", "bart"), _transformer)
    if model not in kinds:
        raise ValueError(f"model: expected one of {', '.join(kinds)}, found {model}")
    problems = _problems(section, dict.fromkeys(NOWHERE, OFF))
    if section.get("activation_fn") not in THEIR_ACTIVATIONS:
        problems.append(f"activation_fn: {section.get('activation_fn')} is in no class")
    family, config, more = kinds[model](section, tensors)
    if family in (M2M, FSMT) and int(order[1]) != 1:  # where their sinusoids begin
        problems.append(f"sinusoidal positions: expected <pad> with the id 1, found {order[1]}")
    if problems + more:
        raise ValueError("no class of transformers holds this model: " + "; ".join(problems + more))
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    if family not in (ROBERTA, GPT2):  # their defaults are 2, whatever number </s> has
        ids |= {"decoder_start_token_id": 2, "forced_eos_token_id": 2}
    return family, {**{name: int(order[i]) for name, i in ids.items()}, **config}


def _problems(section: Section, allowed: Mapping[str, Sequence[Any]]) -> list[str]:
    return [
        f"{name}: expected {values[0]}, found {section[name]}"
        for name, values in allowed.items()
        if name in section and section[name] not in values
    ]


def _roberta(section: Section, tensors: Mapping[str, Tensor]) -> tuple[Family, Any, list[str]]:
    heads = {name.split(".")[1] for name in tensors if name.startswith("classification_heads.")}
    allowed: dict[str, Sequence[Any]] = {
        "encoder_normalize_before": (False, None),
        "encoder_learned_pos": (True,),
        "layernorm_embedding": (True,),
        "no_scale_embedding": (True,),
    }
    if heads:
        allowed["pooler_activation_fn"] = ("tanh",)
    problems = _problems(section, allowed)
    if len(heads) > 1:
        problems.append(f"classification heads: expected one, found {', '.join(sorted(heads))}")
    config = {
        "vocab_size": len(tensors["encoder.sentence_encoder.embed_tokens.weight"]),
        "hidden_size": section["encoder_embed_dim"],
        "num_hidden_layers": section["encoder_layers"],
        "num_attention_heads": section["encoder_attention_heads"],
        "intermediate_size": section["encoder_ffn_embed_dim"],
        "hidden_act": THEIR_ACTIVATIONS.get(section["activation_fn"]),
        "hidden_dropout_prob": section["dropout"],
        "attention_probs_dropout_prob": section["attention_dropout"],
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "tie_word_embeddings": not section.get("untie_weights_roberta", False),
    }
    for head in heads:
        inner = len(tensors[f"classification_heads.{head}.dense.weight"])
        if inner != config["hidden_size"]:
            problems.append(
                f"classification head: expected a width of {config['hidden_size']}, found {inner}"
            )
    return ROBERTA, config, problems


def _gpt2(section: Section, tensors: Mapping[str, Tensor]) -> tuple[Family, Any, list[str]]:
    problems = _problems(
        section,
        {
            "decoder_learned_pos": (True,),
            "decoder_normalize_before": (True,),
            "layernorm_embedding": (False, None),
            "no_scale_embedding": (True,),
            "decoder_input_dim": (section["decoder_embed_dim"],),
            "decoder_output_dim": (section["decoder_embed_dim"],),
        },
    )
    config = {
        "vocab_size": _size(tensors, "decoder"),
        "n_embd": section["decoder_embed_dim"],
        "n_layer": section["decoder_layers"],
        "n_head": section["decoder_attention_heads"],
        "n_inner": section["decoder_ffn_embed_dim"],
        "activation_function": THEIR_ACTIVATIONS.get(section["activation_fn"]),
        "resid_pdrop": section["dropout"],
        "embd_pdrop": section["dropout"],
        "attn_pdrop": section["attention_dropout"],
        "n_positions": _positions(tensors, "decoder", 0),
        "tie_word_embeddings": bool(section.get("share_decoder_input_output_embed")),
    }
    return GPT2, config, problems


def _size(tensors: Mapping[str, Tensor], side: str) -> int:
    table = tensors.get(f"{side}.embed_tokens.weight")
    return 0 if table is None else len(table)


def _positions(tensors: Mapping[str, Tensor], side: str, otherwise: Any) -> int:
    table = tensors.get(f"{side}.embed_positions.weight")
    return int(otherwise) if table is None else len(table) - 2


def _transformer(section: Section, tensors: Mapping[str, Tensor]) -> tuple[Family, Any, list[str]]:
    sides = ("encoder", "decoder")
    both = ("learned_pos", "normalize_before", "embed_dim")
    problems = [
        f"--decoder-{name.replace('_', '-')}: expected the encoder's {section[f'encoder_{name}']}, "
        f"found {section[f'decoder_{name}']}"
        for name in both
        if section[f"encoder_{name}"] != section[f"decoder_{name}"]
    ]
    width = section["decoder_embed_dim"]
    problems += _problems(section, {f"decoder_{k}_dim": (width,) for k in ("input", "output")})
    kind = (
        bool(section.get("encoder_learned_pos")),
        bool(section.get("encoder_normalize_before")),
        bool(section.get("layernorm_embedding")),
    )
    family = TRANSFORMERS.get(kind)
    if family is None:
        problems.append(
            "encoder_learned_pos, encoder_normalize_before, layernorm_embedding: expected "
            f"{' or '.join(str(k) for k in TRANSFORMERS)}, found {kind}"
        )
        family = BART
    sizes = [_size(tensors, side) for side in sides]
    if family is not FSMT and sizes[0] != sizes[1]:
        problems.append(f"dictionaries: expected as many symbols, found {sizes[0]} and {sizes[1]}")
    places = [
        _positions(tensors, s, section[f"max_{n}_positions"])
        for s, n in zip(sides, ("source", "target"), strict=True)
    ]
    if places[0] != places[1] and family in (BART, MBART):
        problems.append(f"positions: expected as many on both sides, found {places}")
    return family, _seq2seq_config(family, section, sizes, max(places)), problems


def _seq2seq_config(
    family: Family, section: Section, sizes: list[int], positions: int
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": family.model_type,
        "d_model": section["encoder_embed_dim"],
    }
    for side in ("encoder", "decoder"):
        config[f"{side}_layers"] = section[f"{side}_layers"]
        config[f"{side}_ffn_dim"] = section[f"{side}_ffn_embed_dim"]
        config[f"{side}_attention_heads"] = section[f"{side}_attention_heads"]
        config[f"{side}_layerdrop"] = section.get(f"{side}_layerdrop") or 0.0
    config |= {
        "activation_function": THEIR_ACTIVATIONS.get(section["activation_fn"]),
        "dropout": section["dropout"],
        "attention_dropout": section["attention_dropout"],
        "activation_dropout": section.get("activation_dropout") or section.get("relu_dropout") or 0,
        "max_position_embeddings": positions,
        "scale_embedding": not section.get("no_scale_embedding"),
        "tie_word_embeddings": bool(section.get("share_all_embeddings")),
    }
    if family is FSMT:
        del config["tie_word_embeddings"]
        return {**config, "src_vocab_size": sizes[0], "tgt_vocab_size": sizes[1]}
    return {**config, "vocab_size": sizes[1]}
