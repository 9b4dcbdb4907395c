"""Settings of a training run, in words instead of the names of flags."""

from collections.abc import Mapping
from typing import Any

WORDS = {  # `section.name` of fairseq's configuration -> words
    "task._name": "task",
    "task.data": "data",
    "task.source_lang": "source language",
    "task.target_lang": "target language",
    "task.tokens_per_sample": "tokens per block",
    "model._name": "model",
    "model.arch": "architecture",
    "criterion._name": "criterion",
    "criterion.label_smoothing": "label smoothing",
    "criterion.kd_teacher": "teacher",
    "criterion.kd_teacher_data": "the teacher's dictionaries",
    "criterion.kd_cache": "teacher cache",
    "criterion.kd_lambda": "weight of distillation (lambda)",
    "criterion.kd_temperature": "temperature of distillation",
    "criterion.kd_divergence": "divergence from the teacher",
    "criterion.kd_chunk_tokens": "positions per chunk of the loss",
    "criterion.kd_modules": "modules whose layers are matched",
    "criterion.kd_layer_map": "matched layers",
    "criterion.kd_output_weight": "weight of the output's losses",
    "criterion.kd_embedding_weight": "weight of the embeddings' difference",
    "criterion.kd_hidden_weight": "weight of the hidden states' difference",
    "criterion.kd_attention_weight": "weight of the attentions' difference",
    "criterion.kd_relation_weight": "weight of the relations' difference",
    "criterion.quantize_weights": "bits per weight of the student",
    "optimization.lr": "learning rate",
    "optimization.max_update": "updates",
    "optimization.max_epoch": "epochs",
    "optimization.update_freq": "batches per update",
    "optimization.clip_norm": "largest norm of the gradient",
    "dataset.max_tokens": "tokens per batch",
    "dataset.batch_size": "sentences per batch",
    "optimizer._name": "optimizer",
    "optimizer.adam_betas": "Adam's betas",
    "optimizer.weight_decay": "weight decay",
    "lr_scheduler._name": "schedule of the learning rate",
    "lr_scheduler.warmup_updates": "updates of warm-up",
    "checkpoint.finetune_from_model": "starts from",
    "checkpoint.restore_file": "continues from",
    "common.seed": "seed",
    "common.fp16": "float16",
    "common.bf16": "bfloat16",
    "distributed_training.distributed_world_size": "processes",
}
PREFIXES = {"kd": "distillation: ", "prune": "pruning: "}


def in_words(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return words -> value of every setting; one without words here keeps its name's.

    Args:
        configuration: see `provenance.configuration`.
    """
    return {_title(key): _value(value) for key, value in configuration.items()}


def _title(key: str) -> str:
    if key in WORDS:
        return WORDS[key]
    prefix, _, rest = key.rpartition(".")[2].partition("_")
    name = PREFIXES[prefix] + rest if prefix in PREFIXES else key.rpartition(".")[2]
    return name.replace("_", " ").strip()


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
