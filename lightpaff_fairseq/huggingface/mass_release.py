"""Convert the officially released MASS models (summarization) to fairseq's transformer.

A released file is a bare state dict of fairseq 0.8: query, key and value are one `in_proj`, the
LayerNorm of the embeddings is called `emb_layer_norm`. Its dictionary is BERT's list of word
pieces from row 0 on, without fairseq's own symbols: `[PAD]` is the padding index, and position p is
row p + that index + 1. Source: microsoft/MASS, MASS-summarization/mass.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints.output_folder import OutputFolder, new_folder
from ..problems import Problems, prefix_errors
from . import fairseq_checkpoint, tables
from .conversion import MARKS, MODEL, Conversion, Converted
from .families.bart import FLAGS, PARTS
from .hf_weights import load_tensors
from .tables import Row, linear, row
from .tokenizers import write_encoding, write_word_pieces
from .vocabulary import SPECIAL, Vocabulary

HEAD_WIDTH = 64  # of both released sizes
COUNTERPARTS = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
QKV = ("q_proj", "k_proj", "v_proj")
EMBEDDINGS = tuple(f"{module}.embed_tokens.weight" for module in PARTS)
OUTPUTS = ("decoder.embed_out", "decoder.output_projection.weight")
UNUSED = r"(encoder|decoder)\.version"
NEEDED = ("encoder.embed_tokens.weight", "encoder.emb_layer_norm.weight")


def convert(request: Conversion) -> Converted:
    """Convert one file; the output folder appears when everything in it was verified.

    Raises:
        ValueError: the file or the dictionary is unusable, they do not fit each other, or tensors
            are missing or left over: all are named.
    """
    OutputFolder(request.out, "--to fairseq", MARKS, [request.path]).check(request.force)
    state = read(request.path)
    dictionary = request.dict or request.path.parent / "dict.txt"
    vocabulary = read_dictionary(dictionary)
    size, symbols = len(state[NEEDED[0]]), len(vocabulary.symbols)
    if size != symbols:
        raise ValueError(
            f"--dict {dictionary}: expected the {size} rows of {request.path}, got {symbols}"
        )
    layers = _layers(state)
    order = torch.tensor(vocabulary.order)
    rows = tables.expand(table(order, pad=vocabulary.order[1]), layers)
    _check_names(request, rows, state)
    tensors = tables.to_fairseq_state(rows, state)
    encoder, decoder = (tensors[name] for name in EMBEDDINGS)
    output = next((state[name][order] for name in OUTPUTS if name in state), decoder)
    tied = torch.equal(output, decoder)
    tensors["decoder.output_projection.weight"] = decoder if tied else output
    flags = ["--task", "translation", *_size_flags(request, tensors, layers)]
    if tied:
        same = torch.equal(encoder, decoder)
        flags += ["--share-all-embeddings" if same else "--share-decoder-input-output-embed"]
    source, target = request.languages
    flags += ["--source-lang", source, "--target-lang", target]
    with new_folder(request.out, "--to fairseq") as folder, prefix_errors(request.named):
        for name in ("dict.txt", f"dict.{source}.txt", f"dict.{target}.txt"):
            vocabulary.write(folder / name)
        encoding = write_encoding(write_word_pieces(_pieces(vocabulary), folder), folder)
        fairseq_checkpoint.write(request.out, flags, tensors, folder)
    return Converted(request.out / MODEL, None, flags=flags, encoding=encoding)


def read(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a released file, in float32.

    Raises:
        ValueError: no such file, corrupt, a pickle that would run code, or no MASS model.
    """
    if not path.is_file():
        raise ValueError(f"--from mass {path}: no such file")
    state = load_tensors(path, "--from mass")
    state = state.get("model", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in state.items()
    ):
        raise ValueError(f"--from mass {path}: expected names and tensors alone, got others")
    if any(name not in state for name in NEEDED):
        raise ValueError(f"--from mass {path}: expected a MASS model with {' and '.join(NEEDED)}")
    return {name: x.float() if x.is_floating_point() else x for name, x in state.items()}


def read_dictionary(path: Path) -> Vocabulary:
    """Read the release's dictionary, in fairseq's order.

    Raises:
        ValueError: no such file, a symbol twice, or the four special pieces are not in it.
    """
    if not path.is_file():
        raise ValueError(f"--dict {path}: no such file (expected the dict.txt of the release)")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")  # as fairseq
    pieces = [line.rsplit(" ", 1)[0] for line in lines if line.strip()]
    ids = {piece: i for i, piece in enumerate(pieces)}
    problems = Problems()
    missing = [piece for piece in COUNTERPARTS if piece not in ids]
    text = f"expected {', '.join(COUNTERPARTS)} among the word pieces, got no {', '.join(missing)}"
    problems.unless(not missing, text)
    twice = len(pieces) - len(ids)
    problems.unless(not twice, f"expected each word piece once, got {twice} of them again")
    problems.raise_if_any(f"--dict {path}: ")
    order = [ids[piece] for piece in COUNTERPARTS]
    order += sorted(set(range(len(pieces))) - set(order))
    names = ["<mask>" if pieces[i] == "[MASK]" else pieces[i] for i in order[len(SPECIAL) :]]
    return Vocabulary([*SPECIAL, *names], order)


def table(order: Tensor, pad: int) -> list[Row]:
    """Return the table of names, layers as `{}`."""
    words, places = tables.Rows(order), tables.Positions(first=pad + 1)
    rows = [row(name, name, words) for name in EMBEDDINGS]
    for module, parts in PARTS.items():
        name = f"{module}.embed_positions.weight"
        rows.append(row(name, name, places))
        rows += linear(f"{module}.layernorm_embedding", f"{module}.emb_layer_norm")
        layer = f"{module}.layers.{{}}"
        for part in parts:
            if not part.endswith(QKV):
                rows += linear(f"{layer}.{part}", f"{layer}.{part}", module)
        for attention in {part.split(".")[0] for part in parts if part.endswith(QKV)}:
            for kind in ("weight", "bias"):
                names = tuple(f"{layer}.{attention}.{part}.{kind}" for part in QKV)
                rows.append(
                    Row(
                        names,
                        f"{layer}.{attention}.in_proj_{kind}",
                        tables.Parts(len(QKV)),
                        module,
                    )
                )
    return rows


def _layers(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the number of layers per module."""
    matches = [re.match(r"(encoder|decoder)\.layers\.(\d+)\.", name) for name in state]
    layers = {(match[1], int(match[2])) for match in matches if match is not None}
    return {module: sum(of == module for of, _ in layers) for module in PARTS}


def _check_names(request: Conversion, rows: list[Row], state: Mapping[str, Tensor]) -> None:
    known = {one.hf for one in rows}
    left_over = [n for n in state.keys() - known - set(OUTPUTS) if not re.fullmatch(UNUSED, n)]
    problems = Problems(tables.name_problems(known - state.keys(), left_over))
    problems.raise_if_any(f"{request.named}: ")


def _size_flags(
    request: Conversion, tensors: Mapping[str, Tensor], layers: Mapping[str, int]
) -> list[str]:
    """Return the flags of architecture and sizes."""
    width = tensors[EMBEDDINGS[0]].shape[1]
    heads = request.heads or width // HEAD_WIDTH
    if heads < 1 or width % heads:
        raise ValueError(f"--heads {heads}: expected a divisor of the width {width}")
    words = ["--arch", "transformer", "--activation-fn", "gelu"]
    words += [*FLAGS["embed_positions"], *FLAGS["layernorm_embedding"]]
    for module, name in (("encoder", "source"), ("decoder", "target")):
        ffn = len(tensors[f"{module}.layers.0.fc1.weight"])
        positions = len(tensors[f"{module}.embed_positions.weight"]) - 2
        words += [f"--{module}-embed-dim", str(width), f"--{module}-layers", str(layers[module])]
        words += [f"--{module}-ffn-embed-dim", str(ffn), f"--{module}-attention-heads", str(heads)]
        words += [f"--max-{name}-positions", str(positions)]
    return words


def _pieces(vocabulary: Vocabulary) -> list[str]:
    """Return the word pieces in their own order and under their names, as BERT's tokenizer has."""
    names = dict(zip(SPECIAL, COUNTERPARTS, strict=True)) | {"<mask>": "[MASK]"}
    pieces = dict(zip(vocabulary.order, vocabulary.symbols, strict=True))
    return [names.get(pieces[i], pieces[i]) for i in range(len(pieces))]
