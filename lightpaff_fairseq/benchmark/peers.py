"""Translation models of any origin to time beside teacher and student: what a folder holds."""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..export.engines import Search
from ..export.export_request import RECORD
from ..export.loaded_model import LoadedModel
from ..huggingface.hf_folder import read_config
from ..json_files import read_json
from ..megabytes import megabytes
from ..problems import Problems, prefix_errors
from .ctranslate2_file import count_parameters
from .peer_engines import CTranslate2Peer, HuggingFacePeer, PeerEngine

CTRANSLATE2, HUGGING_FACE = "CTranslate2", "Hugging Face"
PACKAGES = {CTRANSLATE2: "ctranslate2", HUGGING_FACE: "transformers"}
READ = ("model.bin", "config.json", "*vocabulary*", "vmap.txt")  # the files that CTranslate2 loads
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # of Hugging Face; the first that is there
OPUS = ("source.spm", "target.spm")  # as OPUS-MT names them
EXPECTED = (
    "expected a folder of CTranslate2 (with model.bin) or of a Hugging Face sequence-to-sequence "
    "model (with config.json)"
)


@dataclass(frozen=True)
class Peer:
    """A translation model in a folder, run from text to text.

    Attributes:
        kind: `CTRANSLATE2` or `HUGGING_FACE`.
        pieces: SentencePiece models of source and target; none: the tokenizer of Hugging Face, or
            the text is already split into the model's tokens.
    """

    folder: Path
    kind: str
    pieces: tuple[Path, ...]
    search: Search
    device: str
    role: str = "peer"

    @property
    def name(self) -> str:
        """The name in the table."""
        return f"{self.folder.resolve().name}, beam {self.search.beam}"

    @property
    def size_mb(self) -> float:
        """The size of the files that are loaded, without tokenizers, in MB."""
        if self.kind == CTRANSLATE2:
            return megabytes(path for pattern in READ for path in self.folder.glob(pattern))
        files = (sorted(self.folder.glob(pattern)) for pattern in WEIGHTS)
        return megabytes(next(filter(None, files), []))

    def params(self, engine: Any) -> int | None:
        """Return the number of parameters of a result of `load`; None if it is unknown."""
        if isinstance(engine, HuggingFacePeer):
            return sum(int(parameter.numel()) for parameter in engine.model.parameters())
        with prefix_errors(f"--peer {self.folder}"):
            return count_parameters(self.folder / "model.bin")

    def load(self, opened: LoadedModel | None = None) -> PeerEngine:
        """Load the model from disk.

        Raises:
            ValueError: its library cannot load it.
        """
        try:
            if self.kind == HUGGING_FACE:
                return HuggingFacePeer(self.folder, self.search, self.device)
            return CTranslate2Peer(self.folder, self.pieces, self.search, self.device)
        except Exception as error:  # the libraries raise exceptions of many types
            reason = " ".join(str(error).split())
            raise ValueError(
                f"--peer {self.folder}: {self.kind} cannot load it as a translation model: {reason}"
            ) from error


def find_peers(words: Sequence[str], search: Search, device: str) -> list[Peer]:
    """Return the models of --peer.

    Args:
        words: `DIR` or `DIR=FILE`, with the file of a SentencePiece model.
        search: for folders that do not record the beam that they are served with.
    Raises:
        ValueError: lists all folders that hold no such model, or lack a tokenizer or a package.
    """
    problems, peers = Problems(), []
    for word in words:
        folder, _, given = (word, "", "") if Path(word).is_dir() else word.rpartition("=")
        try:
            with prefix_errors(f"--peer {word}"):
                peers.append(_find(Path(folder or given), folder and given, search, device))
        except ValueError as error:
            problems.add(str(error))
    problems.raise_if_any()
    return peers


def _find(folder: Path, given: str, search: Search, device: str) -> Peer:
    if not folder.is_dir():
        raise ValueError("no such folder")
    if given and not Path(given).is_file():
        raise ValueError(f"no such SentencePiece model: {given}")
    kind = _kind(folder)
    if importlib.util.find_spec(PACKAGES[kind]) is None:
        raise ValueError(f"needs the package {PACKAGES[kind]}, which is not installed")
    pieces: tuple[Path, ...] = (Path(given),) if given else ()
    if kind == CTRANSLATE2:
        record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
        pieces = pieces or tuple(_pieces_beside(folder))
        if not pieces and not record:
            raise ValueError(
                "expected a SentencePiece model beside model.bin, or its file as DIR=FILE, got none"
            )
        search = Search(_beam(record) or search.beam, search.longest, search.shortest, False)
    elif given:
        raise ValueError("a Hugging Face folder has its own tokenizer; leave out the file")
    return Peer(folder, kind, pieces, search, device)


def _kind(folder: Path) -> str:
    if (folder / "model.bin").is_file():
        return CTRANSLATE2
    if not (folder / "config.json").is_file():
        raise ValueError(f"{EXPECTED}, got neither")
    if read_config(folder).get("is_encoder_decoder") is not True:
        raise ValueError(f"{EXPECTED}, got a Hugging Face model that is no encoder-decoder")
    return HUGGING_FACE


def _pieces_beside(folder: Path) -> Iterator[Path]:
    """Yield the SentencePiece models of a folder: a pair of OPUS-MT's, or a single one."""
    if all((folder / name).is_file() for name in OPUS):
        yield from (folder / name for name in OPUS)
        return
    files = [*folder.glob("*.model"), *folder.glob("*.spm")]
    if len(files) > 1:
        names = ", ".join(sorted(path.name for path in files))
        raise ValueError(f"expected one SentencePiece model, got {names}; choose one as DIR=FILE")
    yield from files


def _beam(record: Any) -> int | None:
    """Return the beam of a folder that `lightpaff export` made."""
    beam = record.get("beam") if isinstance(record, dict) else None
    return beam if isinstance(beam, int) and beam > 0 else None
