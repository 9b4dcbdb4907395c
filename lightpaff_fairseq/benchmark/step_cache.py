"""Build the teacher's cache of a synthetic corpus, for benchmarks."""

from dataclasses import dataclass
from pathlib import Path

from fairseq.trainer import Trainer

from ..shards import Shard
from ..teachers.cache.block_file import write_block
from ..teachers.cache.builder import build, finish
from ..teachers.cache.cache_request import CacheRequest, make_plan
from ..teachers.cache.header import Plan
from ..teachers.cache.source import Batching, Source
from .synthetic_data import SPLIT


@dataclass(frozen=True)
class BuiltCache:
    """A finished cache, and its source and plan, to build it again."""

    source: Source
    plan: Plan
    folder: Path

    def build_again(self) -> int:
        """Build the cache in a temporary file; return the number of positions."""
        (block,) = self.plan.blocks
        items = self.source.items(block, self.plan.layout)
        path = self.folder.with_name("again.bin")
        try:
            return write_block(path, items, self.plan.checksum)
        finally:
            path.unlink(missing_ok=True)


def build_cache(trainer: Trainer, topk: int, path: str, folder: Path) -> BuiltCache:
    """Build the cache of a trainer's teacher over its training set, epoch 1.

    Args:
        trainer: distills from an online teacher; its data are loaded.
        topk: tokens per position; path: of the teacher; folder: to create.
    """
    distiller = trainer.get_criterion().distiller
    teacher = distiller.teacher
    teacher.model.to(trainer.device)
    samples = len(trainer.task.dataset(SPLIT))
    source = Source(trainer.task, SPLIT, distiller.prediction, teacher, Batching(None, samples, 0))
    tokens = int(source.tokens.sum())
    request = CacheRequest(path, folder, topk=topk, split=SPLIT, block_tokens=tokens)
    plan = make_plan(source, request, source.probe()[0], range(1, 2))
    plan.folder(folder).claim()
    build(source, plan, folder, Shard(), lambda _: None)
    finish(folder, plan)
    return BuiltCache(source, plan, folder)
