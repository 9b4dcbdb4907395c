"""Read a model with its dictionaries, before its vocabulary is cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary
from omegaconf import OmegaConf

from ..checkpoints.building import apply_arch_defaults, value_of
from ..checkpoints.dictionaries import set_up_in
from ..checkpoints.reading import read_checkpoint
from ..problems import Problems
from .cut_list import FIRST, SHARED, SIDES, SOURCE, TARGET

# Tensors with one row per token, of the source's and the target's dictionary.
TABLES = {
    "encoder.embed_tokens.weight": SOURCE,
    "encoder.sentence_encoder.embed_tokens.weight": SOURCE,
    "encoder.lm_head.weight": SOURCE,
    "encoder.lm_head.bias": SOURCE,
    "decoder.embed_tokens.weight": TARGET,
    "decoder.output_projection.weight": TARGET,
    "decoder.output_projection.bias": TARGET,
}
OFF: tuple[Any, ...] = (None, False, 0, -1, "")
# Options whose tables depend on the frequency or the letters of a token.
NOT_CUT = ("adaptive_input", "adaptive_softmax_cutoff", "character_embeddings")
ID_FLAGS = ("init_token", "separator_token")  # of sentence_prediction: numbers of tokens


@dataclass(frozen=True)
class WholeModel:
    """A checkpoint and its task, set up.

    Attributes:
        folder: with its dictionaries.
    """

    path: Path
    state: dict[str, Any]
    task: Any
    folder: Path

    @property
    def task_cfg(self) -> Any:
        """The section of the task."""
        return self.state["cfg"].task

    @property
    def dictionaries(self) -> dict[str, Dictionary]:
        """The dictionary of each side: one, `shared`, if both are equal."""
        source, target = dictionaries_of(self.task)
        if source.symbols == target.symbols:
            return {SHARED: source}
        return {SOURCE: source, TARGET: target}

    @property
    def languages(self) -> dict[str, str]:
        """The name of the token of each language."""
        names = value_of(self.task_cfg, "langs") or ()
        names = names.split(",") if isinstance(names, str) else names
        symbols = set(dictionaries_of(self.task)[0].symbols)
        styles = ((name, style.format(name)) for name in names for style in ("[{}]", "__{}__"))
        return {name: symbol for name, symbol in styles if symbol in symbols}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of languages that the task translates."""
        pairs = value_of(self.task_cfg, "lang_pairs") or ()
        pairs = pairs.split(",") if isinstance(pairs, str) else pairs
        ends = [value_of(self.task_cfg, f"{side}_lang") for side in SIDES]
        own = [(str(ends[0]), str(ends[1]))] if all(ends) else []
        return [*(tuple(str(pair).split("-", 1)) for pair in pairs), *own]  # type: ignore[list-item]

    def special(self, dictionary: Dictionary) -> list[int]:
        """Return the tokens of a dictionary that are not text, ascending."""
        names = {"<mask>", *self.languages.values()}
        ids = {i for i, symbol in enumerate(dictionary.symbols) if symbol in names}
        numbers = (value_of(self.task_cfg, flag) for flag in ID_FLAGS)
        return sorted(ids | set(range(FIRST)) | {i for i in numbers if i is not None})


def dictionaries_of(task: Any) -> tuple[Dictionary, Dictionary]:
    """Return the source's and the target's dictionary of a task."""
    return task.source_dictionary, task.target_dictionary or task.source_dictionary


def read_whole_model(path: Path, data: Sequence[Path]) -> WholeModel:
    """Read a checkpoint with the dictionaries beside it, where it was trained, or in `data`.

    Raises:
        ValueError: see `read_checkpoint`; there are no dictionaries of its size; or its vocabulary
            cannot be cut.
    """
    state = read_checkpoint(path, "--path")
    state.pop("last_optimizer_state", None)
    cfg = state["cfg"]
    if isinstance(cfg.task, dict):
        cfg.task = OmegaConf.create(cfg.task)
    apply_arch_defaults(cfg.model)
    _check_form(state, path)
    recorded = Path(str(value_of(cfg.task, "data")).split(":")[0])
    places = [path.parent, recorded, *data, *(folder / "input0" for folder in data)]
    for folder, task in _set_up(cfg.task, places):
        if _fits(state["model"], task):
            return WholeModel(path, state, task, folder)
    raise ValueError(
        f"--path {path}: expected dictionaries of its size beside it, in its training data or in "
        f"--data, got none in {', '.join(map(str, dict.fromkeys(places)))}"
    )


def _set_up(task_cfg: Any, places: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    """Yield the folders in which the task finds dictionaries, and the task."""
    for folder in filter(Path.is_dir, dict.fromkeys(places)):
        task = set_up_in(task_cfg, folder)
        if task is not None and isinstance(value_of(task, "source_dictionary"), Dictionary):
            yield folder, task


def _fits(tensors: dict[str, Any], task: Any) -> bool:
    sizes = dict(zip(SIDES, map(len, dictionaries_of(task)), strict=True))
    return all(len(tensors[n]) == sizes[side] for n, side in TABLES.items() if n in tensors)


def _check_form(state: dict[str, Any], path: Path) -> None:
    cfg, problems = state["cfg"], Problems()
    if not any(name in state["model"] for name in TABLES):
        problems.add("expected a transformer with tables of embeddings, got none")
    for name in NOT_CUT:
        value = value_of(cfg.model, name)
        problems.unless(value in OFF, f"{name}: expected off, got {value!r}")
    size = value_of(cfg.task, "output_dictionary_size")
    problems.unless(size in OFF, f"output_dictionary_size: expected off, got {size!r}")
    problems.raise_if_any(f"--path {path}: its vocabulary cannot be cut: ")
