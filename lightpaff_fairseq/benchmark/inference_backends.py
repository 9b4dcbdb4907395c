"""Models on disk in every format that can serve them, for `lightpaff benchmark inference`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..export.engines import Engine, Search, fairseq_engine, limited
from ..export.export_formats import FORMATS, package_problem
from ..export.export_parity import check_difference, largest_difference
from ..export.loaded_model import CheckpointInfo, LoadedModel, inspect_checkpoint, load_model
from ..export.sample_batches import random_samples

FAIRSEQ = "fairseq"
PARITY_SENTENCES = 8


@dataclass(frozen=True)
class Backend:
    """What runs a model.

    Attributes:
        target: of `export.targets`; None: fairseq itself.
        quantization: of the weights; None: float32.
        half: float16 in fairseq.
        devices: where.
    """

    target: str | None = None
    quantization: str | None = None
    half: bool = False
    devices: tuple[str, ...] = ("cpu", "cuda")


BACKENDS = {
    FAIRSEQ: Backend(),
    "fairseq-half": Backend(half=True, devices=("cuda",)),
    "ctranslate2": Backend("ctranslate2"),
    "ctranslate2-float16": Backend("ctranslate2", "float16", devices=("cuda",)),
    "ctranslate2-int8": Backend("ctranslate2", "int8"),
    "onnx": Backend("onnx", devices=("cpu",)),
    "onnx-int8": Backend("onnx", "int8", devices=("cpu",)),
}


@dataclass(frozen=True)
class Variant:
    """One model on one backend, on disk; it can be sent to another process.

    Attributes:
        role: teacher or student.
        backend: a name of `BACKENDS`.
        path, data: the checkpoint and its dictionaries; `family`, `task`: what it holds.
        folder: what the backend loads; None: `path`.
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
        """As in the table."""
        return f"{self.role} {self.backend}"

    @property
    def size_mb(self) -> float:
        """Of what is loaded, in 10^6 bytes."""
        files = [self.path] if self.folder is None else list(self.folder.iterdir())
        return sum(file.stat().st_size for file in files) / 1e6

    def open(self) -> LoadedModel:
        """The checkpoint, for its task; see `load_model`."""
        info = CheckpointInfo(self.path, {}, self.family, self.task, f"--{self.role}")
        return load_model(info, self.data)

    def load(self, task_of: LoadedModel) -> Engine:
        """The model from disk.

        Args:
            task_of: with the task of `open`; its model is not used.
        """
        backend = BACKENDS[self.backend]
        if backend.target is None:
            return fairseq_engine(self.open(), self.search, self.device, backend.half)
        module = FORMATS[backend.target].load()
        engine: Engine = module.engine(task_of, self.folder, self.search, self.device)
        return engine


def choose_backends(names: Sequence[str], info: CheckpointInfo, device: str) -> list[str]:
    """The backends to measure.

    Args:
        names: those asked for; none: all that take such a model on this device.
    Raises:
        ValueError: lists all that cannot be measured: another kind of model, another device, a
            package that is missing.
    """
    usable = [name for name, backend in BACKENDS.items() if _fits(backend, info, device)]
    problems = [
        f"--backends {name}: expected one for a {info.family} of --task {info.task} on "
        f"{device}: {' '.join(usable)}"
        for name in names
        if name not in usable
    ]
    chosen = [name for name in usable if not names or name in names]
    targets = {BACKENDS[name].target for name in chosen} - {None}
    found = [package_problem(target, "--backends") for target in sorted(map(str, targets))]
    problems += [problem for problem in found if problem]
    if problems:
        raise ValueError("; ".join(problems))
    return list(dict.fromkeys([FAIRSEQ, *chosen]))  # what the others are compared with


def _fits(backend: Backend, info: CheckpointInfo, device: str) -> bool:
    if device not in backend.devices:
        return False
    if backend.target is None:
        return True
    return (info.family, info.task) in FORMATS[backend.target].models


def plan_variants(
    role: str, path: Path, folder: Path, choice: Sequence[str], settings: dict[str, Any]
) -> tuple[LoadedModel, list[Variant]]:
    """A model and what it is to be measured on; nothing is written yet.

    Args:
        role: teacher or student; `path`: its checkpoint.
        folder: will get a folder a format.
        choice: as `choose_backends` wants it.
        settings: `data`, `search` and `device` of `Variant`.
    Returns:
        the student or teacher itself, and its variants.
    Raises:
        ValueError: see `choose_backends` and `export`.
    """
    info = inspect_checkpoint(path, f"--{role}")
    names = choose_backends(choice, info, settings["device"])
    student = load_model(info, settings["data"])
    settings = {**settings, "search": limited(settings["search"], student)}
    settings |= {"family": info.family, "task": info.task}
    base = Variant(role, FAIRSEQ, path, folder=None, **settings)
    places = {n: folder / f"{role}-{n}" if BACKENDS[n].target else None for n in names}
    return student, [replace(base, backend=n, folder=place) for n, place in places.items()]


def write_variants(student: LoadedModel, variants: Sequence[Variant]) -> None:
    """Writes a model in every format, and compares the float32 ones with fairseq.

    Raises:
        ValueError: a format does not take it, or computes something else.
    """
    for variant in variants:
        backend = BACKENDS[variant.backend]
        if backend.target is not None and variant.folder is not None:
            variant.folder.mkdir()
            FORMATS[backend.target].load().write(student, variant.folder, backend.quantization)
    for variant in variants:
        backend = BACKENDS[variant.backend]
        if backend.target and not backend.quantization:
            _check(variant, student)


def _check(variant: Variant, student: LoadedModel) -> None:
    """Raises ValueError if it computes something else: then its speed means nothing."""
    reference = fairseq_engine(student, variant.search, "cpu")
    exported = replace(variant, device="cpu").load(student)
    largest = largest_difference(reference, exported, random_samples(student, PARITY_SENTENCES))
    check_difference(student.info.named, largest, "random symbols")
