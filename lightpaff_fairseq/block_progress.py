"""The line of progress of a folder that is filled block by block."""

from collections.abc import Sequence

from .progress import Progress


class BlockProgress:
    """The progress of `BlockFolder.fill`.

    Args:
        name: of the command.
        sizes: of the blocks, in `unit` (a plural).
    """

    def __init__(self, name: str, sizes: Sequence[int], unit: str) -> None:
        self.sizes, self.ended = sizes, 0
        self.line = Progress(name, sum(sizes), unit)

    def advance(self, amount: int) -> None:
        """Note the finished part of the current block."""
        self.line.update(sum(self.sizes[: self.ended]) + amount)

    def end_block(self) -> None:
        """Note that the current block is complete."""
        self.ended += 1
        self.advance(0)
