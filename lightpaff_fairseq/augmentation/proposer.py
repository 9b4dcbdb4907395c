"""Let a masked language model propose words."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from fairseq.data import data_utils
from torch import Tensor

from ..checkpoints.reading import read_checkpoint
from ..losses.label_positions import LabelPositions
from ..models.outputs import encoder_output
from ..models.untrained_head import has_untrained_head
from ..sequence_kd.corpus import Tokens, checksum
from ..shards import Advance, Block
from ..teachers.cache.source import Batching, check_longest, place
from ..teachers.loading import load_teacher
from .augment_request import AugmentRequest
from .labeled_data import LabeledData
from .proposals import Integers, Proposals
from .words import Words

MASKED_LM = "masked_lm"


@dataclass(frozen=True)
class Row:
    """A sentence with masks.

    Attributes:
        sentence: its number in the block; tokens: `(S,)`, eos included.
        positions: `(N,)` of the masked words, ascending.
    """

    sentence: int
    tokens: Tokens
    positions: Integers


class Proposer:
    """A masked language model over the sentences of a split.

    The words of a sentence are masked in turn, some at a time, and a batch holds many sentences
    and masks. The input is that of the task masked_lm: `<s>`, the sentence, `</s>`.

    Raises:
        ValueError: the model has no masked-LM head or another dictionary, or a batch does not
            take the longest sentence.
    """

    def __init__(self, request: AugmentRequest, data: LabeledData, words: Words) -> None:
        self.request, self.data, self.words = request, data, words
        self.model = load_masked_lm(request, data)
        self.longest = int(self.model.max_positions()) - 1  # without <s>
        sizes = data.sizes
        check_longest(sizes[sizes <= self.longest] + 1, Batching(request.max_tokens, None, 0))
        self.device = next(self.model.parameters()).device
        self._allowed = torch.from_numpy(words.is_word).to(self.device)

    @torch.no_grad()
    def propose(self, block: Block, advance: Advance) -> list[Proposals]:
        """Return the proposals for the sentences of a block; none for a sentence that is too long.

        Args:
            advance: called after every batch with the share of the block, in sentences.
        """
        sentences = [self.data.sentence(block.first + i) for i in range(block.count)]
        positions = [self._positions(tokens) for tokens in sentences]
        symbols = [np.empty((len(x), self.request.candidates), dtype=np.int64) for x in positions]
        rows = [
            Row(i, tokens, part)
            for i, tokens in enumerate(sentences)
            for part in self._groups(positions[i], len(tokens))
        ]
        rows.sort(key=lambda row: -len(row.tokens))
        start = 0
        while start < len(rows):
            length = len(rows[start].tokens) + 1
            batch = rows[start : start + self.request.max_tokens // length]
            for row, proposed in zip(batch, self._most_probable(batch), strict=True):
                at = np.searchsorted(positions[row.sentence], row.positions)
                symbols[row.sentence][at] = proposed
            start += len(batch)
            advance(block.count * start // len(rows))
        parts = zip(map(checksum, sentences), positions, symbols, strict=True)
        return [Proposals(*part) for part in parts]

    def _groups(self, positions: Integers, length: int) -> list[Integers]:
        """Split positions into groups of those that are masked at once, far from each other."""
        at_once = max(1, int(self.request.mask_share * length))
        count = -(-len(positions) // at_once)
        return [positions[i::count] for i in range(count)]

    def _positions(self, sentence: Integers) -> Integers:
        if len(sentence) > self.longest:
            return np.empty(0, dtype=np.int64)
        return self.words.positions(sentence)

    def _most_probable(self, batch: list[Row]) -> list[Integers]:
        """Return `(N, M)` words for the masked positions of every row, without the word itself."""
        dictionary = self.data.dictionary
        bos = torch.tensor([dictionary.bos()])
        tokens = data_utils.collate_tokens(
            [torch.cat([bos, torch.from_numpy(row.tokens)]) for row in batch], dictionary.pad()
        )
        is_masked = torch.zeros_like(tokens, dtype=torch.bool)
        for mask, row in zip(is_masked, batch, strict=True):
            mask[torch.from_numpy(row.positions) + 1] = True  # after <s>
        tokens, is_masked = tokens.to(self.device), is_masked.to(self.device)
        originals = tokens[is_masked]
        tokens[is_masked] = dictionary.index("<mask>")
        net_input = {"src_tokens": tokens, "src_lengths": tokens.ne(dictionary.pad()).sum(1)}
        positions = LabelPositions.of(is_masked)
        logits: Tensor = encoder_output(self.model, net_input, positions).logits().float()
        logits.masked_fill_(~self._allowed, -torch.inf)
        logits.scatter_(1, originals[:, None], -torch.inf)
        best = logits.topk(self.request.candidates).indices.cpu().numpy()
        return np.split(best, np.cumsum([len(row.positions) for row in batch])[:-1])


def load_masked_lm(request: AugmentRequest, data: LabeledData) -> Any:
    """Load a masked language model and compare its dictionary with that of the data.

    Raises:
        ValueError: it is a model of another task, without a masked-LM head or with one that was
            never trained, or of another dictionary.
    """
    named = f"--path {request.path}: expected a model of the task {MASKED_LM}"
    section = read_checkpoint(request.path, "--path")["cfg"].task
    task_name = section.get("_name")
    if task_name != MASKED_LM:
        raise ValueError(
            f"{named}, got one of {task_name}: fine-tuning does not train its masked-LM head"
        )
    task: Any = SimpleNamespace(
        source_dictionary=data.dictionary,
        target_dictionary=data.dictionary,
        dictionary=data.dictionary,
    )
    model = load_teacher(str(request.path), task, request.kd_teacher_data, "--path")
    if getattr(getattr(model, "encoder", None), "lm_head", None) is None:
        raise ValueError(f"{named}, got {type(model).__name__} without a masked-LM head")
    if has_untrained_head(model.state_dict()):
        raise ValueError(
            f"{named}, got one whose masked-LM head was never trained: it came from an encoder "
            "without a head"
        )
    return place(model, request)
