"""Flags of `lightpaff augment`."""

from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.output_folder import OutputFolder, is_inside
from ..data_shards import one_folder_problem
from ..flags import Range, at_least, flag, range_problems
from ..output_file import parent_problem
from ..problems import Problems

REPORT = "augment.json"


@dataclass(frozen=True)
class AugmentRequest:
    """Flags of `lightpaff augment`, in addition to those of `Shard`."""

    data: Path = flag(
        "binarized data of the task sentence_prediction (input0, input1, label)",
        name="data",
        metavar="DATA",
    )
    path: Path = flag("fairseq checkpoint of a masked language model", metavar="FILE")
    out: Path = flag("the data folder to write", metavar="FOLDER")
    copies: int = flag(
        "copies with replaced words per sample, in addition to the sample itself (default: "
        "%(default)s)",
        10,
        metavar="N",
        expected=at_least(1),
    )
    probability: float = flag(
        "probability that a word of a copy is replaced (default: %(default)s)",
        0.4,
        metavar="P",
        expected=Range("a number above 0, up to 1", 0, 1, is_open=True),
    )
    candidates: int = flag(
        "most probable words per position, one of which replaces the word (default: %(default)s)",
        15,
        metavar="M",
        expected=at_least(1),
    )
    mask_share: float = flag(
        "share of a sentence's tokens that is masked at once, as in the model's training; 0 = one "
        "word at a time, as TinyBERT, which takes several times longer (default: %(default)s)",
        0.15,
        metavar="SHARE",
        expected=Range("a share from 0 (one word) to 0.5", 0, 0.5),
    )
    seed: int = flag(
        "of the choice of words; another one needs no new pass of the model (default: %(default)s)",
        1,
        metavar="N",
        expected=at_least(0),
    )
    split: str = flag("split to augment (default: %(default)s)", "train", metavar="NAME")
    gpt2_encoder_json: Path | None = flag(
        "fairseq's encoder.json, for a dictionary of --bpe gpt2, whose symbols are numbers",
        None,
        metavar="FILE",
    )
    proposals: Path | None = flag(
        "folder of the proposed words, for later runs (default: OUT.proposals)",
        None,
        metavar="FOLDER",
    )
    kd_teacher_data: str | None = flag(
        "folder of the model's dictionary (default: the data of its training run)",
        None,
        metavar="FOLDER",
    )
    max_tokens: int = flag(
        "tokens per batch (default: %(default)s)",
        12000,
        metavar="N",
        expected=at_least(1),
    )
    block_size: int = flag(
        "samples per file, at most one of which a stopped run loses (default: %(default)s)",
        1024,
        metavar="N",
        expected=at_least(1),
    )
    cpu: bool = flag("run on the CPU, even if there is a GPU", False)
    fp16: bool = flag("run the model in half precision", False)
    force: bool = flag("replace an existing --out of augment (default: refuse)", False)

    @property
    def proposals_folder(self) -> Path:
        """The folder of --proposals."""
        return self.proposals or self.out.with_name(f"{self.out.name}.proposals")

    def problems(self) -> Problems:
        """Return a message for every value that cannot be used; the data are read later."""
        problems = Problems([*range_problems(self), one_folder_problem(self.data)])
        problems.unless(
            self.path.is_file(), f"--path {self.path}: no such file (expected a fairseq checkpoint)"
        )
        pieces = self.gpt2_encoder_json
        problems.unless(
            pieces is None or pieces.is_file(), f"--gpt2-encoder-json {pieces}: no such file"
        )
        problems.extend([self.output_folder.problem(self.force)])
        problems.extend([parent_problem(self.proposals_folder, "--proposals")])
        problems.unless(
            not is_inside(self.proposals_folder, self.out),
            f"--proposals {self.proposals_folder}: expected a folder outside --out",
        )
        return problems

    @property
    def output_folder(self) -> OutputFolder:
        """The folder of --out."""
        return OutputFolder(self.out, "--out", (REPORT,), (self.data, self.path))
