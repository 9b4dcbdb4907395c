"""Every command that writes: how it is called, and what is there before."""

from dataclasses import dataclass
from pathlib import Path

from inputs import AUGMENT, CACHE, SEQ_KD, VOCABULARY_MAP

OUT = "out"


@dataclass(frozen=True)
class Command:
    """One command that writes `{out}`.

    Attributes:
        words: the command line, with the placeholders of `inputs.MAKERS` and `{out}`.
        mark: a file by which --force knows a folder that the command wrote; none: a file.
        filled: folders that are filled file by file, so that each file is whole; the others are
            whole as such.
        measures: numbers differ from run to run.
        endings: of the files that it writes, where `{out}` is only the start of their names.
    """

    words: str
    mark: str | None = None
    filled: tuple[str, ...] = ()
    measures: bool = False
    endings: tuple[str, ...] = ("",)

    @property
    def name(self) -> str:
        """The sub-command."""
        return self.words.split()[0]

    def prepare(self, folder: Path) -> Path:
        """Write an old output, unless the command fills its folder; return `{out}`."""
        out = folder / OUT
        if OUT in self.filled:
            return out
        if self.mark is None:
            for ending in self.endings:
                out.with_name(f"{OUT}{ending}").write_text("old")
            return out
        out.mkdir()
        for name in (self.mark, "old"):
            (out / name).write_text("old")
        return out


SIZES = "--{0}-layers 1 --{0}-embed-dim 8 --{0}-ffn-embed-dim 12 --{0}-attention-heads 2"
STUDENT = " ".join(("--arch transformer", *map(SIZES.format, ("encoder", "decoder"))))
STUDENT += " --encoder-normalize-before --decoder-normalize-before --activation-fn relu"
CLASSES = "{classes.parent}/data --task sentence_prediction --path {classes} --gen-subset valid"
CONVERT, EXPORT = "convert --force --from", "export --force --out {out} --path"

# A new command is one line here.
COMMANDS = {
    "subwords": Command(
        "subwords train {text} --vocab 35 --out {out} --force", endings=(".model", ".dict.txt")
    ),
    "hydra-config": Command(
        "hydra-config --force --out {out}.yaml fairseq-train {pair.parent}/data --task translation "
        "--arch transformer --optimizer adam --criterion kd_ss",
        endings=(".yaml",),
    ),
    "strip": Command("strip --path {pair} --out {out} --force"),
    "compact": Command("compact --path {masked} --out {out} --force"),
    "trim-vocab": Command(
        "trim-vocab --path {pair} --data {pair.parent}/data --keep 12 --out {out} --force",
        "trim.json",
    ),
    "trim-vocab, data": Command(
        "trim-vocab --like {trimmed} --rebinarize {pair.parent}/data --out {out} --force",
        "rebinarized.json",
    ),
    "init-student": Command(f"init-student --teacher {{pair}} --out {{out}} --force {STUDENT}"),
    "convert, from hf": Command(f"{CONVERT} hf {{roberta}} --to fairseq {{out}}", "encoding.json"),
    "convert, from mass": Command(
        f"{CONVERT} mass {{mass}} --to fairseq {{out}} --heads 2", "encoding.json"
    ),
    "convert, to hf": Command(
        f"{CONVERT} fairseq {{language_model}} --to hf {{out}}", "lightpaff.json"
    ),
    "export, ctranslate2": Command(
        f"{EXPORT} {{pair}} --to ctranslate2 --beam 5",
        "export.json",  # auto measures speeds
    ),
    "export, onnx": Command(f"{EXPORT} {{classes}} --to onnx", "export.json"),
    "export, hf": Command(f"{EXPORT} {{language_model}} --to hf", "export.json"),
    "cache-teacher": Command(CACHE, filled=(OUT,)),
    "merge-caches": Command("merge-caches {shards}/0 {shards}/1 --out {out}", filled=(OUT,)),
    "vocabulary-map": Command(f"{VOCABULARY_MAP} --force"),
    "seq-kd": Command(f"{SEQ_KD} --force", "seq_kd.json", filled=(f"{OUT}.hypotheses",)),
    "augment": Command(f"{AUGMENT} --force", "augment.json", filled=(f"{OUT}.proposals",)),
    "evaluate": Command(f"evaluate {CLASSES} --repeats 1 --out {{out}}", measures=True),
    "report, page": Command("report {results} --out {out} --force"),
    "report, plot": Command("report {pruning} --plot kl_sparsity --svg {out} --force"),
}
