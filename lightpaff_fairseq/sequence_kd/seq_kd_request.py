"""Flags of `lightpaff seq-kd`, and checks of the flags of fairseq-generate."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from ..checkpoints.dictionaries import dictionary_problems
from ..checkpoints.output_folder import is_inside
from ..data_shards import data_problem, folder_per_shard
from ..fairseq_flags import fairseq_flag_problems, post_process_problem
from ..flags import Range, at_least, flag, range_problems
from ..output_file import parent_problem
from ..problems import Problems
from .choose import BLEU, CHRF, REFERENCE, SCORE, Choice

FAIRSEQ, CTRANSLATE2 = "fairseq", "ctranslate2"  # --backend
RATIO = Range("0 (off) or more", 0, 1e6)
SPLIT = "train"
MAX_UNK = 0.05


@dataclass(frozen=True)
class SeqKdRequest:
    """Flags of `lightpaff seq-kd`, in addition to those of fairseq and `Shard`."""

    path: str = flag(
        "fairseq checkpoint of the teacher; several, joined by colons: an ensemble", metavar="FILE"
    )
    out: Path = flag(
        "the data folder to write; for DATA of several folders one per folder, joined by colons",
        metavar="FOLDER",
    )
    backend: str = flag(
        "what decodes: fairseq, or CTranslate2, which is faster and compared with fairseq on a "
        "sample first (default: %(default)s)",
        FAIRSEQ,
        choices=(FAIRSEQ, CTRANSLATE2),
    )
    split: str = flag("split to decode (default: %(default)s)", SPLIT, metavar="NAME")
    limit: int | None = flag(
        "decode only the first N sentences, in the order of the split or of the text (default: "
        "all)",
        None,
        metavar="N",
        expected=at_least(1),
    )
    text: list[Path] | None = flag(
        "files of source text to decode instead of a split, one sentence per line, in the tokens "
        "of DATA joined by spaces, or raw with --sentencepiece-model",
        None,
        nargs="+",
        metavar="FILE",
    )
    sentencepiece_model: Path | None = flag(
        "SentencePiece model that encodes --text (default: it is encoded already)",
        None,
        metavar="FILE",
    )
    max_unk: float | None = flag(
        f"largest share of <unk> among the tokens of --text (default: {MAX_UNK})",
        None,
        metavar="SHARE",
        expected=Range("a share from 0 to 1", 0, 1),
    )
    choose: str = flag(
        "hypotheses that become targets: the teacher's --nbest best, or those most similar to the "
        "reference (default: %(default)s)",
        SCORE,
        choices=(SCORE, REFERENCE),
    )
    choose_metric: str = flag(
        "similarity for --choose reference; of words with --post-process, otherwise of tokens "
        "(default: %(default)s)",
        BLEU,
        choices=(BLEU, CHRF),
    )
    mix: float = flag(
        "share of original pairs among all pairs; 0.5: as many as distilled ones (default: 0, "
        "none)",
        0.0,
        metavar="SHARE",
        expected=Range("a share from 0 (none) to below 1", 0, 1 - 1e-6),
    )
    min_ratio: float = flag(
        "drop hypotheses with fewer than R tokens per source token; 0 = off",
        0.0,
        metavar="R",
        expected=RATIO,
    )
    max_ratio: float = flag(
        "drop hypotheses with more than R tokens per source token; 0 = off",
        0.0,
        metavar="R",
        expected=RATIO,
    )
    keep_cut: bool = flag(
        "keep hypotheses that were cut at the length limit (default: drop them)", False
    )
    hypotheses: Path | None = flag(
        "folder of all decoded hypotheses, for later runs; as many as --out (default: "
        "OUT.hypotheses)",
        None,
        metavar="FOLDER",
    )
    kd_teacher_data: str | None = flag(
        "folder of the teacher's dictionaries (default: the data of its training run)",
        None,
        metavar="FOLDER",
    )
    block_size: int = flag(
        "sentences per file, at most one of which a stopped run loses (default: %(default)s)",
        4096,
        metavar="N",
        expected=at_least(1),
    )
    force: bool = flag("replace an existing --out of seq-kd (default: refuse)", False)

    def problems(self) -> Problems:
        """Return a message for every value out of range."""
        problems = Problems(range_problems(self))
        low, high = self.min_ratio, self.max_ratio
        problems.unless(
            not high or low <= high, f"--min-ratio {low}: expected at most --max-ratio {high}"
        )
        problems.extend(self._text_problems())
        return problems

    def _text_problems(self) -> Iterator[str]:
        """Yield a message for every flag that does not fit --text."""
        if self.text is None:
            for name in ("sentencepiece_model", "max_unk"):
                value = getattr(self, name)
                if value is not None:
                    yield f"--{name.replace('_', '-')} {value}: expected --text, which it is for"
            return
        for path in self.text:
            if not path.is_file():
                yield f"--text {path}: no such file"
        pieces = self.sentencepiece_model
        if pieces is not None and not pieces.is_file():
            yield f"--sentencepiece-model {pieces}: no such file"
        for named, is_default in (
            (f"--split {self.split}", self.split == SPLIT),
            (f"--choose {self.choose}", self.choose == SCORE),
            (f"--mix {self.mix}", self.mix == 0),
        ):
            if not is_default:
                yield f"{named}: expected no --text, which has no references and no splits"

    @property
    def text_files(self) -> list[Path]:
        """The files of --text, and the SentencePiece model; none without --text."""
        return [*(self.text or ()), *filter(None, [self.sentencepiece_model])]

    @property
    def hypotheses_folder(self) -> Path:
        """The folder of --hypotheses.

        Raises:
            ValueError: it is inside --out, which is replaced as a whole, or cannot be written.
        """
        folder = self.hypotheses or self.out.with_name(f"{self.out.name}.hypotheses")
        problem = parent_problem(folder, "--hypotheses")
        if problem:
            raise ValueError(problem)
        if is_inside(folder, self.out):
            raise ValueError(f"--hypotheses {folder}: expected a folder outside --out")
        return folder

    def per_shard(self, data: str) -> list["SeqKdRequest"]:
        """Return a request with --out and --hypotheses for every folder of DATA.

        Raises:
            ValueError: their numbers differ.
        """
        folders = folder_per_shard("--out", self.out, data)
        outs = [Path(os.path.abspath(folder)) for folder in folders]  # `.` has no name
        stored: list[Path | None] = [None] * len(outs)
        if self.hypotheses:
            stored = [*folder_per_shard("--hypotheses", self.hypotheses, data)]
        pairs = zip(outs, stored, strict=True)
        return [replace(self, out=out, hypotheses=folder) for out, folder in pairs]

    def choice(self, nbest: int) -> Choice:
        """Return the rules for choosing hypotheses; `nbest` is fairseq's flag."""
        return Choice(self.choose, nbest, self.min_ratio, self.max_ratio, self.keep_cut)


def fairseq_config(argv: Sequence[str], request: SeqKdRequest) -> Any:
    """Parse the flags of fairseq-generate.

    Raises:
        SystemExit: fairseq does not know a flag.
    """
    words = [*argv, "--path", request.path, "--gen-subset", request.split]
    args = options.parse_args_and_arch(options.get_generation_parser(), words)
    return convert_namespace_to_omegaconf(args)


def generation_problems(cfg: Any, request: SeqKdRequest) -> Problems:
    """Return a message for every fairseq flag that seq-kd does not support."""
    generation = cfg.generation
    problems = Problems(fairseq_flag_problems(cfg, "generation", "dataset", "common"))
    for name in ("score_reference", "replace_unk", "constraints", "lm_path"):
        named = f"--{name.replace('_', '-')} {generation[name]}"
        problems.unless(not generation[name], f"{named}: not supported by seq-kd")
    problems.unless(
        cfg.common_eval.model_overrides == "{}",
        "--model-overrides: not supported by seq-kd, which uses the checkpoint's values",
    )
    beam, nbest = generation.beam, generation.nbest
    problems.unless(1 <= nbest <= beam, f"--nbest {nbest}: expected 1 to --beam {beam}")
    problems.unless(
        generation.max_len_a != 0 or generation.min_len <= generation.max_len_b,
        f"--min-len {generation.min_len}: expected at most --max-len-b {generation.max_len_b}",
    )
    problems.unless(
        not generation.sampling or nbest == beam or request.choose == REFERENCE,
        f"--sampling with --nbest {nbest} and --beam {beam}: expected --nbest equal to --beam, or "
        "--choose reference (the best of several samples is not a random sample)",
    )
    problems.unless(
        not generation.prefix_size or request.text is None,
        f"--prefix-size {generation.prefix_size}: expected no --text, which has no references",
    )
    value = cfg.common_eval.post_process
    problems.extend([post_process_problem("--post-process", value), data_problem(cfg.task.data)])
    problems.extend(dictionary_problems(str(cfg.task.data)))
    return problems
