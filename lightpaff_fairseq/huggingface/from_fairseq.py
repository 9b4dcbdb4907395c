"""Convert a fairseq checkpoint to a Hugging Face folder."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fairseq.models as models
import torch
from torch import Tensor

from ..checkpoints.building import heads_in, value_of
from ..checkpoints.output_folder import OutputFolder, new_folder
from ..checkpoints.strip import to_primitive
from ..models.sentence_embeddings import trained_pooling
from ..models.untrained_head import PREFIX as LM_HEAD
from ..models.untrained_head import has_untrained_head
from ..problems import Problems, prefix_errors
from . import fairseq_checkpoint
from .conversion import MARKS, RECORD, Conversion, Converted
from .fairseq_checkpoint import FairseqModel
from .families.bart import FSMT
from .families.bert import BARE, BERT, ENCODER, FOLDED, HEAD, ROBERTA, SEGMENTS, first_position
from .families.family import Family
from .families.registry import CLASSIFIER, FAMILIES
from .hf_config import Derived, derive
from .hf_folder import transformers_package
from .sentence_pairs import pair_template
from .sentence_transformers import fit_modules, write_modules
from .tables import name_problems, shape_problems, to_hf_state
from .text_back import compare_back, language_problem
from .tokenizers import write_hf_tokenizer
from .vocabulary import with_classes

NO_MLM_HEAD = "a classifier has no masked-LM head in Hugging Face's class: it is left out"
HEADS = "classification_heads."
ZERO = r".*\.token_type_embeddings\.weight|final_logits_bias"
NO_WEIGHT = r".*\.version|.*\._float_tensor"
COMPUTED = r".*embed_positions.*|.*decoder\.bias"  # transformers makes these itself
# What decides whether a model still has the form that it came in, in each module and once.
SHAPE = "layers embed_dim ffn_embed_dim attention_heads normalize_before learned_pos".split()
KIND = (
    "activation_fn layernorm_embedding no_scale_embedding share_all_embeddings "
    "untie_weights_roberta token_types layer_norm_eps pooler_activation_fn"
).split()
WITH_POOLER = ("BertModel", "RobertaModel", "XLMRobertaModel")
TIES = ("share_all_embeddings", "share_decoder_input_output_embed")  # the first sets the second
POSITIONS = {  # tables of learned positions, and the option with their number
    "encoder.sentence_encoder.embed_positions.weight": "max_positions",
    "encoder.embed_positions.weight": "max_source_positions",
    "decoder.embed_positions.weight": "max_target_positions",
}


def convert(request: Conversion) -> Converted:
    """Convert one checkpoint; the output folder appears when the model in it was compared.

    Raises:
        ValueError: bad input, see `write`; nothing was written then.
    """
    read = [x for x in (request.path, request.data, request.tokenizer) if x is not None]
    OutputFolder(request.out, "--to hf", MARKS, read).check(request.force)
    with new_folder(request.out, "--to hf") as folder, prefix_errors(request.named):
        notes = write(request.path, request.data, folder, request.pooling, request.tokenizer)
        compared = compare_back(request.path, request.data, folder, request.tokenizer)
        compared.check()
    return Converted(request.out, compared, [*compared.notes, *notes])


def write(
    path: Path,
    data: Path | None,
    folder: Path,
    pooling: str | None = None,
    tokenizer: Path | None = None,
) -> list[str]:
    """Write a checkpoint as model and tokenizer that `transformers` loads; see `compare_back`.

    Args:
        data: the folder of the dictionaries; None: the checkpoint's, or where it was trained.
        folder: where to; created if need be.
        pooling: of a sentence-transformers folder; None: that of `kd_embed`, if it was trained so.
        tokenizer: a folder that `to_fairseq` wrote; None: the checkpoint's or `data`.
    Returns:
        what the user should know.
    Raises:
        ValueError: no transformers class holds the model (all reasons), or see
            `fairseq_checkpoint.read`.
    """
    with prefix_errors(f"--from fairseq {path}"):
        source = fairseq_checkpoint.read(path, data, tokenizer)
        pooling = pooling or trained_pooling(source.cfg)
        Problems([language_problem(source), _pooling_problem(source, pooling)]).raise_if_any()
        family, config = _choose(source)
        model = _build(source, family, config, has_head=pooling is None)
        state = _hf_state(source, family, model)
        model.load_state_dict(state, strict=False)
        model.tie_weights()
        folder.mkdir(exist_ok=True)
        model.to(_dtype(source, state)).save_pretrained(folder)
    _write_tokenizers(source, family, folder)
    sizes = int(getattr(model.config, "hidden_size", 0)), source.positions
    if pooling is None:
        fit_modules(folder, *sizes)
    else:
        write_modules(folder, pooling, *sizes)
    record = {"format": 1, "order": source.order}
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return [NO_MLM_HEAD] if heads_in(source.tensors) and pooling is None else []


def _pooling_problem(source: FairseqModel, pooling: str | None) -> str | None:
    if pooling is None or any(name.startswith(ENCODER) for name in source.tensors):
        return None
    return f"--pooling {pooling}: expected a roberta or a bert, got {source.cfg.model._name}"


def _choose(source: FairseqModel) -> Derived:
    """Return family and configuration: those the model came with, where it still has its form."""
    section = to_primitive(source.cfg.model, "model")
    name = str(section.get("_name") or section.get("arch"))
    model = models.ARCH_MODEL_NAME_REGISTRY.get(name, name)
    original = _original(source, model, section)
    if original is not None:
        return original
    family, config = derive(model, section, source.tensors, source.order)
    if family in (BERT, ROBERTA):
        rows = len(source.tensors["encoder.sentence_encoder.embed_positions.weight"])
        config["model_type"] = family.model_type
        config["max_position_embeddings"] = rows - 2 + first_position(config)
    if family is FSMT:
        config["langs"] = [
            value_of(source.cfg.task, f"{x}_lang") or x for x in ("source", "target")
        ]
    return family, config


def _original(source: FairseqModel, model: str, section: Mapping[str, Any]) -> Derived | None:
    """Return the recorded family and configuration, if they build this very model."""
    if source.origin is None or source.record is None:
        return None
    family = FAMILIES[source.record.model_type]
    config_class = getattr(transformers_package(), source.record.architecture).config_class
    config: dict[str, Any] = config_class.from_pretrained(
        source.origin, local_files_only=True
    ).to_dict()
    config[FOLDED] = source.record.segment
    task = "masked_lm" if model in ("roberta", "bert") else family.task
    cfg = fairseq_checkpoint.parse("x", ["--task", task, *family.flags(config)])
    built = to_primitive(cfg.model, "model")
    compared = [f"{module}_{key}" for module in ("encoder", "decoder") for key in SHAPE]
    if any((section.get(k) or None) != (built.get(k) or None) for k in [*compared, *KIND]):
        return None
    if any(map(section.get, TIES)) != any(map(built.get, TIES)):
        return None
    for name, key in POSITIONS.items():
        if name in source.tensors and len(source.tensors[name]) != int(built[key]) + 2:
            return None
    if family.model_type == "marian":
        raise ValueError(
            "a Marian model does not go back: its bias, start token and positions were folded into "
            "weights"
        )
    return family, config


def _build(source: FairseqModel, family: Family, config: dict[str, Any], has_head: bool) -> Any:
    """Build the transformers model, with random weights."""
    name = family.classes[0]
    if not has_head:
        name = family.classes[-1]
    elif heads_in(source.tensors):
        name = next((x for x in family.classes if x.endswith(CLASSIFIER)), name)
    elif has_untrained_head(source.tensors):
        name = next((x for x in family.classes if x.endswith(BARE)), name)
    model_class = getattr(transformers_package(), name)
    config = with_classes(config, source.task, source.tensors)
    for key in ("architectures", "transformers_version", FOLDED):
        config.pop(key, None)
    pooler = {"add_pooling_layer": False} if name in WITH_POOLER else {}
    return model_class(model_class.config_class(**config), **pooler).eval()


def _one_head(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return a classifier's tensors under the stock head's name; of a class without head, none.

    A masked-LM head is left out where there is a classifier's, and where it was never trained.
    """
    if name.endswith(BARE):
        heads = (HEADS, LM_HEAD)
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}
    if not heads_in(tensors) and not has_untrained_head(tensors):
        return tensors
    return {
        f"{HEAD}.{name.split('.', 2)[2]}" if name.startswith(HEADS) else name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(LM_HEAD)
    }


def _hf_state(source: FairseqModel, family: Family, model: Any) -> dict[str, Tensor]:
    """Return the Hugging Face state dict; refuse tensors that do not fit the class.

    Those that fairseq has no counterpart for are zeros.
    """
    name, tied = type(model).__name__, model.config.tie_word_embeddings
    tensors = _one_head(source.tensors, name)
    config = {**model.config.to_dict(), "tie_word_embeddings": tied}
    config[FOLDED] = None if SEGMENTS in tensors else 0
    sizes = {"encoder": len(source.task.source_dictionary), "decoder": len(source.target)}
    if family is FSMT and len(set(sizes.values())) > 1:
        raise ValueError(f"dictionaries of different sizes {sizes} are not supported yet")
    rows = family.table(config, torch.tensor(source.order), name)
    expected = {part for row in rows for part in row.fairseq}
    left_over = [n for n in tensors if n not in expected and not re.fullmatch(NO_WEIGHT, n)]
    problems = Problems(name_problems(expected - tensors.keys(), left_over))
    problems.raise_if_any(f"the weights do not fit {name}; ")
    needed = model.state_dict()
    zeros = {key: torch.zeros_like(x) for key, x in needed.items() if re.fullmatch(ZERO, key)}
    state = {**zeros, **to_hf_state(rows, tensors)}
    missing = {key for key in needed.keys() - state.keys() if not re.fullmatch(COMPUTED, key)}
    shapes = shape_problems(needed, state)
    problems.extend(name_problems(missing, state.keys() - needed.keys(), shapes))
    problems.raise_if_any(f"the weights do not fit {name}; ")
    return state


def _dtype(source: FairseqModel, state: Mapping[str, Tensor]) -> torch.dtype:
    """Return the dtype the model came in, if it still holds every value exactly; else its own."""
    name = "float32" if source.record is None else source.record.dtype
    original: torch.dtype = getattr(torch, name)
    exact = all(torch.equal(x.to(original).to(x.dtype), x) for x in state.values())
    return original if exact else next(iter(state.values())).dtype


def _write_tokenizers(source: FairseqModel, family: Family, folder: Path) -> None:
    if source.origin is not None:
        for path in sorted(source.origin.iterdir()):
            if path.is_dir():
                shutil.copytree(path, folder / path.name)
            elif path.name not in (RECORD, "config.json", "generation_config.json"):
                shutil.copyfile(path, folder / path.name)
        return
    dictionary = source.task.source_dictionary
    pair = pair_template(source.cfg.task, second_segment=1 if family is BERT else 0)
    write_hf_tokenizer(dictionary, family.model_type, folder, pair)
    if dictionary.symbols != source.target.symbols:
        write_hf_tokenizer(source.target, family.model_type, folder / "target")
