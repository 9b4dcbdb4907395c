"""Write and load models in every format, for `lightpaff benchmark inference`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..export.engines import Engine, Search, fairseq_engine, limited
from ..export.export_formats import FORMATS, package_problem
from ..export.export_parity import check_difference, largest_difference
from ..export.loaded_model import CheckpointInfo, LoadedModel, inspect_checkpoint, load_model
from ..export.sample_batches import random_samples
from ..megabytes import megabytes
from ..problems import Problems

FAIRSEQ = "fairseq"
PARITY_SENTENCES = 8


@dataclass(frozen=True)
class Backend:
    """A library that runs models, and the precision of their weights.

    Attributes:
        format: a key of `FORMATS`; None: fairseq itself.
        quantization: of the weights; None: float32.
        half: float16 in fairseq.
        devices: supported devices.
    """

    format: str | None = None
    quantization: str | None = None
    half: bool = False
    devices: tuple[str, ...] = ("cpu", "cuda")


BACKENDS = {
    FAIRSEQ: Backend(),
    "fairseq-half": Backend(half=True, devices=("cuda",)),
    "ctranslate2": Backend("ctranslate2"),
    "ctranslate2-float16": Backend("ctranslate2", "float16", devices=("cuda",)),
    "ctranslate2-int8": Backend("ctranslate2", "int8"),
    "ctranslate2-int8_float16": Backend("ctranslate2", "int8_float16", devices=("cuda",)),
    "onnx": Backend("onnx", devices=("cpu",)),
    "onnx-int8": Backend("onnx", "int8", devices=("cpu",)),
}


@dataclass(frozen=True)
class Variant:
    """One model on disk for one backend; can be pickled for another process.

    Attributes:
        role: teacher or student.
        backend: a key of `BACKENDS`.
        path, data: the checkpoint and its dictionaries; `family`, `task`: of the model.
        folder: the exported model; None: the backend loads `path`.
    """

    role: str
    backend: str
    path: Path
    data: Path
    family: str
    task: str
    folder: Path | None
    search: Search
    device: str

    @property
    def name(self) -> str:
        """The name in the table."""
        return f"{self.role} {self.backend}"

    @property
    def size_mb(self) -> float:
        """The size of the checkpoint or the exported folder, in MB."""
        return megabytes([self.path] if self.folder is None else self.folder.iterdir())

    def open(self) -> LoadedModel:
        """Load the checkpoint with fairseq."""
        info = CheckpointInfo(self.path, {}, self.family, self.task, f"--{self.role}")
        return load_model(info, self.data)

    def load(self, opened: LoadedModel) -> Engine:
        """Load the model from disk; `opened` is the result of `open`, its model may be None."""
        backend = BACKENDS[self.backend]
        if backend.format is None:
            return fairseq_engine(self.open(), self.search, self.device, backend.half)
        module = FORMATS[backend.format].load()
        engine: Engine = module.engine(opened, self.folder, self.search, self.device)
        return engine


def choose_backends(names: Sequence[str], info: CheckpointInfo, device: str) -> list[str]:
    """Return the backends to time, fairseq first.

    Args:
        names: of --backends; empty: all that support the model on this device.
    Raises:
        ValueError: lists every backend that does not support the model or the device, or whose
            package is missing.
    """
    usable = [name for name, backend in BACKENDS.items() if _fits(backend, info, device)]
    problems = Problems(
        f"--backends {name}: does not support a {info.family} model of --task {info.task} on "
        f"{device}; expected one of {' '.join(usable)}"
        for name in names
        if name not in usable
    )
    chosen = [name for name in usable if not names or name in names]
    formats = {BACKENDS[name].format for name in chosen} - {None}
    problems.extend(package_problem(name, "--backends") for name in sorted(map(str, formats)))
    problems.raise_if_any()
    return list(dict.fromkeys([FAIRSEQ, *chosen]))  # the others are compared with fairseq


def _fits(backend: Backend, info: CheckpointInfo, device: str) -> bool:
    if device not in backend.devices:
        return False
    if backend.format is None:
        return True
    return (info.family, info.task) in FORMATS[backend.format].models


def plan_variants(
    role: str, path: Path, folder: Path, choice: Sequence[str], settings: dict[str, Any]
) -> tuple[LoadedModel, list[Variant]]:
    """Load a model and plan its variants; write nothing.

    The backends are those of the student; a teacher is timed on the ones that support it.

    Args:
        role: teacher or student; `path`: its checkpoint.
        folder: parent of the exported models' folders.
        choice: the names for `choose_backends`.
        settings: `data`, `search` and `device` of `Variant`.
    Raises:
        ValueError: see `choose_backends` and `export`.
    """
    info = inspect_checkpoint(path, f"--{role}")
    if role == "teacher" and choice:
        fitting = [name for name in choice if _fits(BACKENDS[name], info, settings["device"])]
        choice = fitting or [FAIRSEQ]
    names = choose_backends(choice, info, settings["device"])
    student = load_model(info, settings["data"])
    settings = {**settings, "search": limited(settings["search"], student)}
    settings |= {"family": info.family, "task": info.task}
    base = Variant(role, FAIRSEQ, path, folder=None, **settings)
    places = {n: folder / f"{role}-{n}" if BACKENDS[n].format else None for n in names}
    return student, [replace(base, backend=n, folder=place) for n, place in places.items()]


def write_variants(student: LoadedModel, variants: Sequence[Variant]) -> None:
    """Export a model to every format, and compare the float32 exports with fairseq.

    Raises:
        ValueError: a format does not support the model, or an export disagrees with fairseq.
    """
    for variant in variants:
        backend = BACKENDS[variant.backend]
        if backend.format is not None and variant.folder is not None:
            variant.folder.mkdir()
            FORMATS[backend.format].load().write(student, variant.folder, backend.quantization)
    for variant in variants:
        backend = BACKENDS[variant.backend]
        if backend.format and not backend.quantization:
            _check(variant, student)


def _check(variant: Variant, student: LoadedModel) -> None:
    """Raise ValueError if a variant disagrees with fairseq: its speed would mean nothing."""
    reference = fairseq_engine(student, variant.search, "cpu")
    exported = replace(variant, device="cpu").load(student)
    largest = largest_difference(reference, exported, random_samples(student, PARITY_SENTENCES))
    check_difference(student.info.named, largest, "random tokens")
