"""Share the work of a sub-command among the processes of a launcher."""

from ..launched_processes import launched, use_own_gpu
from ..shards import Shard


def shard_of_launch(shard: Shard) -> Shard:
    """Return the shard of this process.

    Args:
        shard: of `--num-shards` and `--shard-id`.
    Returns:
        `shard`, if the flags chose one or this process was started alone; otherwise that of its
        rank among the processes of torchrun, srun or mpirun, which then uses a GPU of its own.
    """
    place = launched()
    if shard.num_shards > 1 or place is None or place.rank is None:
        return shard
    use_own_gpu(place)
    return Shard(place.tasks, place.rank)
