"""A fairseq checkpoint becomes a Hugging Face folder."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fairseq.models as models
import torch
from torch import Tensor

from ..checkpoints.building import value_of
from ..checkpoints.strip import to_primitive
from . import fairseq_checkpoint as checkpoint
from . import labels
from .derive_config import derive
from .fairseq_source import Ours, read
from .families.family import Family
from .families.registry import IMPORTED
from .families.seq2seq import FSMT
from .packages import transformers_package
from .tables import expand, to_huggingface
from .to_fairseq import RECORD
from .tokenizers.words import write_tokenizer

HEAD = "classification_heads.sentence_classification_head"
ZERO = r".*\.token_type_embeddings\.weight|final_logits_bias"
NEVER_THERE = r".*\.version|.*\._float_tensor"
LM_HEAD = "encoder.lm_head."
# What decides whether a model still has the form that it came in; the shape is one of each side.
SHAPE = "layers embed_dim ffn_embed_dim attention_heads normalize_before learned_pos".split()
KIND = (
    "activation_fn layernorm_embedding no_scale_embedding share_all_embeddings "
    "untie_weights_roberta"
).split()
TIES = ("share_all_embeddings", "share_decoder_input_output_embed")  # the first sets the second
POSITIONS = {  # learned ones, and how many there are
    "encoder.sentence_encoder.embed_positions.weight": "max_positions",
    "encoder.embed_positions.weight": "max_source_positions",
    "decoder.embed_positions.weight": "max_target_positions",
}


def write(path: Path, data: Path | None, folder: Path) -> list[str]:
    """Writes weights, configuration and tokenizer of a checkpoint to a folder.

    Returns:
        what the user should know.
    Raises:
        ValueError: no class of transformers holds the model (all reasons at once), or see `read`.
    """
    ours = read(path, data)
    family, config = _choose(path, ours)
    tensors, notes = _one_head(ours.tensors)
    classes = any(name.startswith(HEAD) for name in tensors)
    prefix = re.sub("For.*|LMHead.*", "", family.classes[0])
    name = f"{prefix}ForSequenceClassification" if classes else family.classes[0]
    package = transformers_package()
    kind = getattr(package, name)
    config = labels.named(config, ours.task, ours.tensors)
    values = {k: v for k, v in config.items() if k not in ("architectures", "transformers_version")}
    model = kind(kind.config_class(**values)).eval()
    full = {**model.config.to_dict(), "tie_word_embeddings": model.config.tie_word_embeddings}
    theirs = _their_tensors(family, full, tensors, (ours, name, notes))
    _load(model, theirs)
    folder.mkdir(exist_ok=True)
    model.to(_dtype(ours, theirs)).save_pretrained(folder)
    _write_tokenizers(ours, family, folder)
    record = {"format": 1, "order": ours.order}
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return notes


def _choose(path: Path, ours: Ours) -> tuple[Family, dict[str, Any]]:
    """The family and configuration: those that the model came with, where it still has its form."""
    section = ours.cfg.model
    values = to_primitive(section, "model")
    name = str(values.get("_name") or values.get("arch"))
    model = models.ARCH_MODEL_NAME_REGISTRY.get(name, name)
    came = _as_it_came(ours, model, values)
    if came is not None:
        return came
    try:
        family, config = derive(model, values, ours.tensors, torch.tensor(ours.order))
    except ValueError as error:
        raise ValueError(f"--from fairseq {path}: {error}") from error
    if "roberta" in family.model_type:
        rows = len(ours.tensors["encoder.sentence_encoder.embed_positions.weight"])
        config["max_position_embeddings"] = rows - 2 + config["pad_token_id"] + 1
        config["model_type"] = "roberta"
    if family is FSMT:
        languages = [value_of(ours.cfg.task, f"{x}_lang") or x for x in ("source", "target")]
        config["langs"] = languages
    return family, config


def _as_it_came(
    ours: Ours, model: str, values: Mapping[str, Any]
) -> tuple[Family, dict[str, Any]] | None:
    """The recorded family and configuration, if they build this very model."""
    if ours.origin is None:
        return None
    family = IMPORTED[ours.record["model_type"]]
    kind = getattr(transformers_package(), str(ours.record["architecture"])).config_class
    config: dict[str, Any] = kind.from_pretrained(ours.origin, local_files_only=True).to_dict()
    task = "masked_lm" if model == "roberta" else family.task
    built = to_primitive(checkpoint.parse("x", task, family.flags(config)).model, "model")
    compared = [f"{side}_{key}" for side in ("encoder", "decoder") for key in SHAPE]
    if any((values.get(k) or None) != (built.get(k) or None) for k in [*compared, *KIND]):
        return None
    if any(map(values.get, TIES)) != any(map(built.get, TIES)):
        return None
    tables = {key: ours.tensors[name] for name, key in POSITIONS.items() if name in ours.tensors}
    if any(len(table) != int(built[key]) + 2 for key, table in tables.items()):
        return None
    if family.model_type == "marian":
        raise ValueError(
            "--from fairseq: a Marian model does not go back: its bias, start symbol and positions "
            "were folded into weights"
        )
    return family, config


def _one_head(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A classifier's tensors under the stock head's name, without its masked-LM head."""
    start = "classification_heads."
    if not any(name.startswith(start) for name in tensors):
        return dict(tensors), []
    found = {
        f"{HEAD}.{name.split('.', 2)[2]}" if name.startswith(start) else name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(LM_HEAD)
    }
    return found, ["a classifier has no masked-LM head in Hugging Face's class: it is left out"]


def _their_tensors(
    family: Family, config: dict[str, Any], tensors: dict[str, Tensor], rest: tuple[Ours, str, Any]
) -> dict[str, Tensor]:
    ours, name, _ = rest
    order = torch.tensor(ours.order)
    rows = expand(family.rows(config, order, name), family.layers(config))
    if family is FSMT:
        sizes = {"encoder": len(ours.task.source_dictionary), "decoder": len(ours.target)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"dictionaries of different sizes {sizes} are not supported yet")
    wanted = {mine for row in rows for mine in row.ours}
    extra = [n for n in tensors if n not in wanted and not re.fullmatch(NEVER_THERE, n)]
    missing = [n for n in wanted if n not in tensors]
    if extra or missing:
        raise ValueError(
            f"--from fairseq: {name} has no place for {', '.join(sorted(extra)) or 'nothing'} and "
            f"wants {', '.join(sorted(missing)) or 'nothing'} besides"
        )
    return to_huggingface(rows, tensors)


def _load(model: Any, theirs: dict[str, Tensor]) -> None:
    state = model.state_dict()
    for name, tensor in state.items():
        if re.fullmatch(ZERO, name):
            theirs[name] = torch.zeros_like(tensor)
    shapes = [n for n, x in theirs.items() if n in state and x.shape != state[n].shape]
    if shapes:
        text = (f"{n} {tuple(theirs[n].shape)} instead of {tuple(state[n].shape)}" for n in shapes)
        raise ValueError(f"--from fairseq: weights of another shape: {', '.join(text)}")
    missing, extra = model.load_state_dict(theirs, strict=False)
    tied = [n for n in missing if "embed_positions" not in n and not n.endswith("decoder.bias")]
    if tied or extra:
        raise ValueError(f"--from fairseq: transformers' class lacks {extra} and wants {tied}")
    model.tie_weights()


def _dtype(ours: Ours, theirs: Mapping[str, Tensor]) -> torch.dtype:
    """What the model came in, if that still holds every value exactly; else what it is in."""
    came: torch.dtype = getattr(torch, ours.record.get("dtype", "float32"))
    exact = all(torch.equal(x.to(came).to(x.dtype), x) for x in theirs.values())
    return came if exact else next(iter(theirs.values())).dtype


def _write_tokenizers(ours: Ours, family: Family, folder: Path) -> None:
    if ours.origin is not None:
        for path in sorted(ours.origin.iterdir()):
            if path.name not in (RECORD, "config.json", "generation_config.json"):
                shutil.copyfile(path, folder / path.name)
        return
    source, target = ours.task.source_dictionary, ours.target
    write_tokenizer(source, family.model_type, folder)
    if source.symbols != target.symbols:
        write_tokenizer(target, family.model_type, folder / "target")
