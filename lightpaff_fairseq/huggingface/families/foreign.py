"""Name what fairseq's transformers lack of other families of models."""

from collections.abc import Callable
from typing import Any

from .family import Config

RELATIVE, ROTARY = "relative positions", "rotary positions"
SHARED, FACTORIZED = "parameters shared by all layers", "factorized embeddings"
RMS, GATED = "RMSNorm", "gated FFN"
OF_TYPE: dict[str, tuple[str, ...]] = {
    "albert": (SHARED, FACTORIZED),
    "deberta": (RELATIVE,),
    "deberta-v2": (RELATIVE,),
    "modernbert": (ROTARY, GATED, "alternation of local and global attention"),
    "mpnet": (RELATIVE,),
    "nomic_bert": (ROTARY, GATED),
    "new": (ROTARY, GATED),
    "roformer": (ROTARY,),
    "t5": (RELATIVE, RMS),
    **dict.fromkeys(("eurobert", "llama", "mistral", "qwen2", "qwen3"), (ROTARY, RMS, GATED)),
    "mt5": (RELATIVE, RMS, GATED),
    "umt5": (RELATIVE, RMS, GATED),
    "xlnet": (RELATIVE,),
}
OF_OPTION: dict[str, Callable[[Any], str | None]] = {
    "relative_attention_num_buckets": lambda value: RELATIVE,
    "relative_attention": lambda value: RELATIVE if value else None,
    "position_embedding_type": lambda value: {
        "alibi": "ALiBi",
        "rotary": ROTARY,
        "rope": ROTARY,
        "relative_key": RELATIVE,
        "relative_key_query": RELATIVE,
    }.get(value),
    "alibi": lambda value: "ALiBi" if value else None,
    "rope_parameters": lambda value: ROTARY,
    "rope_theta": lambda value: ROTARY,
    "rope_scaling": lambda value: ROTARY,
    "rotary_emb_base": lambda value: ROTARY,
    "rms_norm_eps": lambda value: RMS,
    "num_hidden_groups": lambda value: SHARED,
    "feed_forward_type": lambda value: GATED if "glu" in str(value) else None,
    "is_gated_act": lambda value: GATED if value else None,
}


def foreign_reasons(config: Config) -> list[str]:
    """Return what a configuration needs that fairseq's encoders and decoders lack, each once."""
    reasons = list(OF_TYPE.get(str(config["model_type"]), ()))
    for option, reason in OF_OPTION.items():
        if config.get(option) is not None:
            value = config[option]
            reasons += filter(None, [reason(value if isinstance(value, (str, bool, int)) else "")])
    return list(dict.fromkeys(reasons))
