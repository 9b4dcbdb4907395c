"""From the flags of fairseq-generate to a teacher, its data, and the plan of its hypotheses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq import options, tasks
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.search import Sampling
from fairseq.sequence_generator import SequenceGenerator
from omegaconf import OmegaConf
from torch import nn

from ..teachers.cache.fingerprint import file_digest, split_fingerprint, task_flags
from ..teachers.cache.job import load_split
from ..teachers.cache.source import batching_of
from ..teachers.loading import load_teacher
from .choose import REFERENCE, Choice
from .corpus import Corpus, Place
from .decode import Decoder, Search
from .plan import Plan

DEFAULT_TOKENS = 12000  # a batch, as fairseq-generate
LANGUAGE_FLAGS = (  # of tasks without a dataclass
    "langs encoder_langtok decoder_langtok lang_tok_style lang_tok_replacing_bos_eos prepend_bos"
).split()
# of fairseq's flags of generation, those that do not change a hypothesis
IRRELEVANT = (
    "_name nbest replace_unk sacrebleu score_reference print_alignment print_step lm_path "
    "lm_weight constraints retain_iter_history decoding_format no_seed_provided no_beamable_mm "
    "eos_token"
).split()


@dataclass(frozen=True)
class Request:
    """What `lightpaff seq-kd` was asked for, beside fairseq's flags.

    Attributes:
        path: of the teacher, or several with colons; teacher_data: folder of its dictionaries.
        split: that is decoded; block_size: sources a file of hypotheses.
        choose: see `Choice.by`.
    """

    path: str
    teacher_data: str | None
    split: str
    block_size: int
    choose: str


@dataclass(frozen=True)
class Job:
    """Everything that is needed to decode; the teacher itself is loaded by `make_decoder`."""

    cfg: Any
    request: Request
    task: Any
    corpus: Corpus
    dictionaries: tuple[Dictionary, Dictionary]  # of the files, without language tokens
    plan: Plan


def fairseq_config(argv: Sequence[str], request: Request) -> Any:
    """The configuration of a fairseq-generate command.

    Raises:
        SystemExit: fairseq does not know a flag.
    """
    words = [*argv, "--path", request.path, "--gen-subset", request.split]
    args = options.parse_args_and_arch(options.get_generation_parser(), words)
    return convert_namespace_to_omegaconf(args)


def check_flags(cfg: Any, request: Request) -> None:
    """Raises one ValueError that lists every flag of fairseq's that cannot be taken."""
    generation, problems = cfg.generation, []
    for name in ("score_reference", "replace_unk", "constraints", "lm_path"):
        if generation[name]:
            problems.append(f"--{name.replace('_', '-')} {generation[name]}: not possible here")
    if cfg.common_eval.model_overrides != "{}":
        problems.append("--model-overrides: not possible here, the checkpoint's values are taken")
    beam, nbest = generation.beam, generation.nbest
    if not 1 <= nbest <= beam:
        problems.append(f"--nbest {nbest}: expected 1 to --beam {beam}")
    if generation.max_len_a == 0 and generation.min_len > generation.max_len_b:
        problems.append(
            f"--min-len {generation.min_len}: expected at most --max-len-b {generation.max_len_b}"
        )
    if generation.sampling and nbest != beam and request.choose != REFERENCE:
        problems.append(
            f"--sampling with --nbest {nbest} and --beam {beam}: the best of several samples is no "
            "sample; expected --nbest equal to --beam, or --choose reference"
        )
    if ":" in str(cfg.task.data):
        problems.append(f"{cfg.task.data}: expected one folder of data; run once for each")
    elif not Path(cfg.task.data).is_dir():
        problems.append(f"{cfg.task.data}: no such folder (expected binarized data)")
    if problems:
        raise ValueError("; ".join(problems))


def make_job(cfg: Any, request: Request, choice: Choice) -> Job:
    """Loads the data, and plans what is decoded.

    Raises:
        ValueError: the data are not parallel data of one pair, references are missing that the
            choice needs, or there is no such teacher.
    """
    task = tasks.setup_task(cfg.task)
    place = place_of(task, Path(cfg.task.data), request.split)
    corpus = Corpus(
        place,
        getattr(cfg.task, "dataset_impl", None),
        (task.source_dictionary, task.target_dictionary),
    )
    for flag, needed in (
        (f"--choose {REFERENCE}", choice.by == REFERENCE),
        (f"--prefix-size {cfg.generation.prefix_size}", cfg.generation.prefix_size > 0),
    ):
        if needed and not corpus.has_references:
            raise ValueError(f"{flag}: {place.folder} has no references")
    load_split(task, request.split)
    plan = Plan(
        data=_data(task, corpus),
        teacher=_teacher(cfg, request),
        generation=_generation(cfg),
        sentences=len(corpus),
        block_size=request.block_size,
    )
    dictionaries = (_dictionary(task, place, "source"), _dictionary(task, place, "target"))
    return Job(cfg, request, task, corpus, dictionaries, plan)


def make_decoder(job: Job) -> Decoder:
    """Loads the teacher of a job.

    Raises:
        ValueError: it cannot be used; the task has another generator than fairseq's own, or ignores
            --sampling.
    """
    cfg, task = job.cfg, job.task
    models = _load_models(cfg, job.request, task)
    for model in models:
        model.prepare_for_inference_(cfg)  # type: ignore[operator]
    generator = task.build_generator(models, cfg.generation)
    if not isinstance(generator, SequenceGenerator):
        raise ValueError(
            f"--task {cfg.task._name}: its generator is {type(generator).__name__}; expected "
            "fairseq's SequenceGenerator"
        )
    if cfg.generation.sampling and not isinstance(generator.search, Sampling):
        raise ValueError(f"--sampling: --task {cfg.task._name} does not support it")
    search = Search(
        generator,
        models,
        cfg.generation.prefix_size,
        cfg.common.seed,
        bool(getattr(cfg.task, "truncate_source", False)),
    )
    batching = batching_of(cfg.dataset, DEFAULT_TOKENS)
    return Decoder(task, job.corpus, len(job.dictionaries[1]), search, batching)


def place_of(task: Any, folder: Path, split: str) -> Place:
    """The split of a task of two languages.

    Raises:
        ValueError: the task has not two languages.
    """
    flags = getattr(task, "args", None) or task.cfg
    source, target = (getattr(flags, f"{side}_lang", None) for side in ("source", "target"))
    if not source or not target:
        raise ValueError(
            f"--task {type(task).__name__}: expected a task that translates, and --source-lang and "
            f"--target-lang; found {source} and {target}"
        )
    return Place(folder, split, source, target)


def _load_models(cfg: Any, request: Request, task: Any) -> list[nn.Module]:
    on_gpu = torch.cuda.is_available() and not cfg.common.cpu
    models = []
    for path in request.path.split(":"):
        try:
            model = load_teacher(path, task, request.teacher_data)
        except ValueError as error:  # the criterions' name of the flag
            raise ValueError(str(error).replace("--kd-teacher ", "--path ")) from error
        if not isinstance(model, FairseqEncoderDecoderModel):
            raise ValueError(
                f"--path {path}: expected an encoder-decoder, found {type(model).__name__}"
            )
        dtype = torch.float16 if cfg.common.fp16 else torch.float32
        models.append(model.to(device="cuda" if on_gpu else "cpu", dtype=dtype))
    return models


def _dictionary(task: Any, place: Place, side: str) -> Dictionary:
    """The dictionary as the data's file has it: a task may have added language tokens to its own.

    Raises:
        ValueError: there is no such file, or the task reads another one.
    """
    path = place.folder / f"dict.{getattr(place, side)}.txt"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected the dictionary beside the data")
    own: Dictionary = getattr(task, f"{side}_dictionary")
    dictionary = Dictionary.load(str(path))
    if dictionary.symbols != own.symbols[: len(dictionary)]:
        raise ValueError(f"{path}: expected the dictionary that the task reads, found another one")
    return dictionary


def _data(task: Any, corpus: Corpus) -> dict[str, Any]:
    found = split_fingerprint(task, corpus.place.split) | task_flags(task, masks=False)
    flags = getattr(task, "args", None) or task.cfg
    for name in (*LANGUAGE_FLAGS, "max_source_positions"):
        if getattr(flags, name, None) is not None:
            found[f"--{name.replace('_', '-')}"] = str(getattr(flags, name))
    return {"languages": corpus.place.pair, **found}


def _teacher(cfg: Any, request: Request) -> dict[str, Any]:
    paths = [Path(path) for path in request.path.split(":") if path]
    if len(paths) <= request.path.count(":"):
        raise ValueError(f"--path {request.path}: expected files separated by one colon")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"--path {path}: no such file (expected a fairseq checkpoint)")
    digests = ":".join(file_digest(path) for path in paths)
    precision = "float16" if cfg.common.fp16 else "float32"
    return {"SHA-256 of the teacher": digests, "precision": precision}


def _generation(cfg: Any) -> dict[str, Any]:
    """Flags that change hypotheses; sampling deals its random numbers batch by batch."""
    values: Any = OmegaConf.to_container(cfg.generation, resolve=True, enum_to_str=True)
    found = {f"--{k.replace('_', '-')}": v for k, v in values.items() if k not in IRRELEVANT}
    if cfg.generation.sampling:
        batching = batching_of(cfg.dataset, DEFAULT_TOKENS)
        found |= {"--seed": cfg.common.seed, "--max-tokens": batching.max_tokens}
        found |= {"--batch-size": batching.batch_size}
    return found
