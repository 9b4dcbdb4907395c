"""The officially released MASS models (summarization) as checkpoints of fairseq's transformer.

Their file is a bare state dict of fairseq 0.8: query, key and value are one `in_proj`, the
LayerNorm of the embeddings is called `emb_layer_norm`. Their dictionary is BERT's list of word
pieces from row 0 on, without fairseq's own symbols: `[PAD]` is the padding index, and position p is
row p + that index + 1. Source: microsoft/MASS, MASS-summarization/mass.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints.output_folder import OutputFolder, new_folder
from . import fairseq_checkpoint as checkpoint
from .families.seq2seq import FLAGS, PARTS
from .naming import about
from .pickles import load_tensors
from .tables import Positions, Row, Rows, Stacked, expand, linear, row, to_fairseq
from .to_fairseq import MARKS, MODEL, Converted
from .tokenizers.encoding import SETTINGS
from .vocabulary import SPECIAL, Vocabulary

HEAD_WIDTH = 64  # of both released sizes
COUNTERPARTS = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
QKV = ("q_proj", "k_proj", "v_proj")
UNUSED = r"(encoder|decoder)\.version"
OUTPUTS = ("decoder.embed_out", "decoder.output_projection.weight")


@dataclass(frozen=True)
class MassConversion:
    """What to convert; the names are those of the flags of `lightpaff convert`.

    Attributes:
        dictionary: the release's `dict.txt`; None: the one beside the file.
        heads: of every attention; None: as many as give heads of 64 dimensions.
    """

    source: Path
    out: Path
    dictionary: Path | None = None
    languages: tuple[str, str] = ("source", "target")
    heads: int | None = None
    overwrite: bool = False


def convert(wanted: MassConversion) -> Converted:
    """Converts one file; the output folder appears when everything in it was verified.

    Raises:
        ValueError: the file or the dictionary is unusable, they do not fit each other, or tensors
            lack or are left over: all named.
    """
    OutputFolder(wanted.out, "--to fairseq", MARKS, [wanted.source]).check(wanted.overwrite)
    theirs = read(wanted.source)
    vocabulary = read_dictionary(wanted.dictionary or wanted.source.parent / "dict.txt")
    sizes = _sizes(wanted, theirs, vocabulary)
    pad = vocabulary.order[1]
    rows = expand(table(torch.tensor(vocabulary.order), pad), sizes)
    _check_names(wanted.source, rows, theirs)
    tensors = to_fairseq(rows, theirs)
    output = next(
        (theirs[n] for n in OUTPUTS if n in theirs), theirs["decoder.embed_tokens.weight"]
    )
    order = torch.tensor(vocabulary.order)
    tied = torch.equal(output, theirs["decoder.embed_tokens.weight"])
    shown = tensors["decoder.embed_tokens.weight"] if tied else output[order]
    tensors["decoder.output_projection.weight"] = shown
    flags = _flags(wanted, tensors, sizes, tied)
    with new_folder(wanted.out) as folder:
        for name in ("dict.txt", *(f"dict.{x}.txt" for x in wanted.languages)):
            vocabulary.write(folder / name)
        encoding = _write_pieces(vocabulary, folder)
        cfg = checkpoint.parse(str(wanted.out), "translation", flags)
        task = checkpoint.set_up(cfg, folder)
        with about(f"--from mass {wanted.source}"):
            tensors = checkpoint.complete(cfg, task, tensors)
        checkpoint.write(cfg, task, tensors, folder / MODEL)
    return Converted(["--task", "translation", *flags], encoding, None)


def read(path: Path) -> dict[str, Tensor]:
    """The state dict of a released file, in float32.

    Raises:
        ValueError: no such file, damaged, a pickle that would run code, or no MASS model.
    """
    if not path.is_file():
        raise ValueError(f"--from mass {path}: no such file")
    state = load_tensors(path, "--from mass")
    state = state.get("model", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in state.items()
    ):
        raise ValueError(f"--from mass {path}: expected names and tensors alone, found others")
    wanted = ("encoder.embed_tokens.weight", "encoder.emb_layer_norm.weight")
    if any(name not in state for name in wanted):
        raise ValueError(f"--from mass {path}: expected a MASS model with {' and '.join(wanted)}")
    return {name: x.float() if x.is_floating_point() else x for name, x in state.items()}


def read_dictionary(path: Path) -> Vocabulary:
    """The release's dictionary, in fairseq's order.

    Raises:
        ValueError: no such file, a symbol twice, or the four special pieces are not in it.
    """
    if not path.is_file():
        raise ValueError(f"--dict {path}: no such file (the dict.txt of the release)")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")  # as fairseq
    pieces = [line.rsplit(" ", 1)[0] for line in lines if line.strip()]
    ids = {piece: i for i, piece in enumerate(pieces)}
    missing = [piece for piece in COUNTERPARTS if piece not in ids]
    if missing or len(ids) != len(pieces):
        raise ValueError(
            f"--dict {path}: expected word pieces, each once, with {', '.join(COUNTERPARTS)}; "
            f"{', '.join(missing) or 'a piece twice'} was found wanting"
        )
    order = [ids[piece] for piece in COUNTERPARTS]
    order += [i for i in range(len(pieces)) if i not in set(order)]
    names = ["<mask>" if pieces[i] == "[MASK]" else pieces[i] for i in order[len(SPECIAL) :]]
    return Vocabulary([*SPECIAL, *names], order)


def table(order: Tensor, pad: int) -> list[Row]:
    """The table of names, layers as `{}`."""
    words, places, stacked = Rows(order), Positions(first=pad + 1), Stacked(3)
    found = []
    for side, parts in PARTS.items():
        found.append(row(f"{side}.embed_tokens.weight", f"{side}.embed_tokens.weight", words))
        found.append(
            row(f"{side}.embed_positions.weight", f"{side}.embed_positions.weight", places)
        )
        found += linear(f"{side}.layernorm_embedding", f"{side}.emb_layer_norm")
        layer = f"{side}.layers.{{}}"
        for part in parts:
            if not part.endswith(QKV):
                found += linear(f"{layer}.{part}", f"{layer}.{part}", side)
        for attention in {part.split(".")[0] for part in parts if part.endswith(QKV)}:
            for kind in ("weight", "bias"):
                names = tuple(f"{layer}.{attention}.{part}.{kind}" for part in QKV)
                found.append(Row(names, f"{layer}.{attention}.in_proj_{kind}", stacked, side))
    return found


def _sizes(
    wanted: MassConversion, theirs: Mapping[str, Tensor], vocabulary: Vocabulary
) -> dict[str, int]:
    size = len(theirs["encoder.embed_tokens.weight"])
    if size != len(vocabulary.symbols):
        raise ValueError(
            f"--dict: expected the {size} rows of {wanted.source}, found "
            f"{len(vocabulary.symbols)} symbols"
        )
    numbers = [re.match(r"(encoder|decoder)\.layers\.(\d+)\.", name) for name in theirs]
    found = {(m[1], int(m[2])) for m in numbers if m is not None}
    return {side: sum(one == side for one, _ in found) for side in PARTS}


def _check_names(source: Path, rows: list[Row], theirs: Mapping[str, Tensor]) -> None:
    known = {one.theirs for one in rows}
    problems = {
        "missing": sorted(known - theirs.keys()),
        "left over": sorted(
            n for n in theirs.keys() - known if not re.fullmatch(UNUSED, n) and n not in OUTPUTS
        ),
    }
    lines = [f"{what}: {', '.join(names)}" for what, names in problems.items() if names]
    if lines:
        raise ValueError(f"--from mass {source}: {'; '.join(lines)}")


def _flags(
    wanted: MassConversion, ours: Mapping[str, Tensor], layers: Mapping[str, int], tied: bool
) -> list[str]:
    width = ours["encoder.embed_tokens.weight"].shape[1]
    heads = wanted.heads or width // HEAD_WIDTH
    if heads < 1 or width % heads:
        raise ValueError(f"--heads: expected a divisor of the width {width}, found {heads}")
    words = ["--arch", "transformer", "--activation-fn", "gelu"]
    words += [*FLAGS["embed_positions"], *FLAGS["layernorm_embedding"]]
    for side, name in (("encoder", "source"), ("decoder", "target")):
        words += [f"--{side}-embed-dim", str(width), f"--{side}-layers", str(layers[side])]
        ffn = len(ours[f"{side}.layers.0.fc1.weight"])
        words += [f"--{side}-ffn-embed-dim", str(ffn), f"--{side}-attention-heads", str(heads)]
        positions = len(ours[f"{side}.embed_positions.weight"]) - 2
        words += [f"--max-{name}-positions", str(positions)]
    same = torch.equal(ours["encoder.embed_tokens.weight"], ours["decoder.embed_tokens.weight"])
    words += ["--share-all-embeddings"] if same and tied else []
    words += ["--share-decoder-input-output-embed"] if tied and not same else []
    source, target = wanted.languages
    return [*words, "--source-lang", source, "--target-lang", target]


def _write_pieces(vocabulary: Vocabulary, folder: Path) -> str:
    """The word pieces as BERT's tokenizer wants them: in their own order and under their names."""
    names = dict(zip(SPECIAL, COUNTERPARTS, strict=True)) | {"<mask>": "[MASK]"}
    pieces = [""] * len(vocabulary.order)
    for symbol, place in zip(vocabulary.symbols, vocabulary.order, strict=True):
        pieces[place] = names.get(symbol, symbol)
    (folder / "vocab.txt").write_text("".join(f"{p}\n" for p in pieces), encoding="utf-8")
    flags = {"--bpe": "bert", "--bpe-vocab-file": "vocab.txt"}
    (folder / SETTINGS).write_text(json.dumps(flags, indent=1), encoding="utf-8")
    return " ".join(f"{flag} {value}" for flag, value in flags.items())
