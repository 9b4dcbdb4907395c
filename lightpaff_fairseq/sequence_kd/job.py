"""Load the data, and make the plan of the hypotheses, from the flags."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary
from omegaconf import OmegaConf

from ..data_shards import data_shards
from ..teachers.cache.fingerprint import file_digest, split_fingerprint, task_flags
from ..teachers.cache.source import Batching, batching_of, load_split, set_up_task
from .choose import REFERENCE
from .corpus import Corpus, SplitLocation
from .hypotheses import Plan
from .seq_kd_request import FAIRSEQ, SeqKdRequest

DEFAULT_TOKENS = 12000  # per batch, as fairseq-generate
LANGUAGE_FLAGS = (  # of tasks without a dataclass
    "langs encoder_langtok decoder_langtok lang_tok_style lang_tok_replacing_bos_eos prepend_bos"
).split()
# fairseq's generation flags that do not change a hypothesis
IRRELEVANT = (
    "_name nbest replace_unk sacrebleu score_reference print_alignment print_step lm_path "
    "lm_weight constraints retain_iter_history decoding_format no_seed_provided no_beamable_mm "
    "eos_token"
).split()


@dataclass(frozen=True)
class Job:
    """Everything needed for decoding except the teacher, which `Decoder` loads."""

    cfg: Any
    request: SeqKdRequest
    task: Any
    corpus: Corpus
    dictionaries: tuple[Dictionary, Dictionary]  # as in the files, without language tokens
    plan: Plan
    batching: Batching


def make_job(cfg: Any, request: SeqKdRequest, shard: int = 1) -> Job:
    """Load the data, and plan the decoding.

    Args:
        shard: number of the folder of DATA, from 1; dictionaries are those of the first.
    Raises:
        ValueError: the data are not parallel data of one language pair, a flag needs references
            that are missing, or there is no such teacher.
    """
    task, folders = set_up_task(cfg.task, request.split), data_shards(cfg.task.data)
    split = place_of(task, Path(folders[shard - 1]), request.split)
    dictionaries = (task.source_dictionary, task.target_dictionary)
    impl = getattr(cfg.task, "dataset_impl", None)
    corpus = Corpus(split, impl, dictionaries, request.limit)
    _check_flags(cfg, request, task, corpus)
    load_split(task, request.split, shard)
    batching = batching_of(cfg.dataset, DEFAULT_TOKENS)
    plan = Plan(
        data=_data(task, corpus, request),
        teacher=_teacher(cfg, request),
        generation=_generation(cfg, batching, request.backend),
        sentences=len(corpus),
        block_size=request.block_size,
    )
    first = replace(split, folder=Path(folders[0]))
    of_files = (file_dictionary(task, first, "source"), file_dictionary(task, first, "target"))
    return Job(cfg, request, task, corpus, of_files, plan, batching)


def _check_flags(cfg: Any, request: SeqKdRequest, task: Any, corpus: Corpus) -> None:
    """Check flags that need references, or a vocabulary of some size."""
    for flag, needs_references in (
        (f"--choose {REFERENCE}", request.choose == REFERENCE),
        (f"--prefix-size {cfg.generation.prefix_size}", cfg.generation.prefix_size > 0),
        (f"--mix {request.mix}", request.mix > 0),
    ):
        if needs_references and not corpus.has_references:
            raise ValueError(f"{flag}: expected references in {corpus.place.folder}, got none")
    k, size = cfg.generation.sampling_topk, len(task.target_dictionary)
    if cfg.generation.sampling and k > size:
        raise ValueError(f"--sampling-topk {k}: expected at most the vocabulary, {size} tokens")


def place_of(task: Any, folder: Path, split: str) -> SplitLocation:
    """Return the location of a split.

    Raises:
        ValueError: the task has no pair of languages.
    """
    flags = _flags(task)
    source, target = (getattr(flags, f"{side}_lang", None) for side in ("source", "target"))
    if not source or not target:
        raise ValueError(
            f"--task {type(task).__name__}: expected a translation task with --source-lang and "
            f"--target-lang, got {source} and {target}"
        )
    return SplitLocation(folder, split, source, target)


def _flags(task: Any) -> Any:
    """Return a task's flags: tasks without a dataclass keep them as `args`."""
    return getattr(task, "args", None) or task.cfg


def file_dictionary(task: Any, split: SplitLocation, side: str) -> Dictionary:
    """Read the dictionary of the data folder: the task's may have additional language tokens.

    Raises:
        ValueError: there is no such file, or the task reads another one.
    """
    path = split.folder / f"dict.{getattr(split, side)}.txt"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected the dictionary of the data")
    own: Dictionary = getattr(task, f"{side}_dictionary")
    dictionary = Dictionary.load(str(path))
    if dictionary.symbols != own.symbols[: len(dictionary)]:
        raise ValueError(f"{path}: expected the dictionary that the task reads, got another one")
    return dictionary


def _data(task: Any, corpus: Corpus, request: SeqKdRequest) -> dict[str, Any]:
    entries = {"languages": corpus.place.pair, **split_fingerprint(task, corpus.place.split)}
    entries |= task_flags(task, masks=False)
    for name in (*LANGUAGE_FLAGS, "max_source_positions"):
        value = getattr(_flags(task), name, None)
        if value is not None:
            entries[f"--{name.replace('_', '-')}"] = str(value)
    if len(corpus) < corpus.total:
        entries["--limit"] = len(corpus)
    if request.text:
        digests = (file_digest(path) for path in request.text_files)
        entries["SHA-256 of --text"] = ":".join(digests)
    return entries


def _teacher(cfg: Any, request: SeqKdRequest) -> dict[str, Any]:
    paths = request.path.split(":")
    if "" in paths:
        raise ValueError(f"--path {request.path}: expected files separated by one colon")
    for path in paths:
        if not Path(path).is_file():
            raise ValueError(f"--path {path}: no such file (expected a fairseq checkpoint)")
    digests = ":".join(file_digest(Path(path)) for path in paths)
    precision = "float16" if cfg.common.fp16 else "float32"
    return {"SHA-256 of the teacher": digests, "precision": precision}


def _generation(cfg: Any, batching: Batching, backend: str) -> dict[str, Any]:
    """Return the flags that change hypotheses; with --sampling also those that change batches."""
    values: Any = OmegaConf.to_container(cfg.generation, resolve=True, enum_to_str=True)
    entries = {f"--{k.replace('_', '-')}": v for k, v in values.items() if k not in IRRELEVANT}
    if cfg.generation.sampling:
        entries |= {"--seed": cfg.common.seed, "--max-tokens": batching.max_tokens}
        entries |= {"--batch-size": batching.batch_size}
    if backend != FAIRSEQ:  # which plans of version 0.1 do not name
        entries["--backend"] = backend
    return entries
