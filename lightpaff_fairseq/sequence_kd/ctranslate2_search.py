"""Search hypotheses with CTranslate2, so that they are those of fairseq's generator.

CTranslate2's beam search is fairseq's, with three differences: it renormalizes probabilities where
--min-len forbids eos, it does not force eos at the length limit, and it may choose padding. So it
searches without --min-len, and what these would have changed is searched again: sources with an
empty hypothesis by CTranslate2, and their scores corrected, all others by fairseq. A difference
remains beyond the best hypothesis: if more hypotheses end at the last step than are needed,
CTranslate2 keeps the best of all, fairseq the first.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoints.output_folder import folder_beside
from ..data_shards import data_shards
from ..export.export_request import ExportRequest
from ..export.exporter import export
from ..protocols import Sample
from .corpus import Tokens
from .fairseq_search import Answers, FairseqSearch
from .job import Job

BATCH_TOKENS = 2048  # source tokens that one thread searches at a time
PADDING = "<blank>"  # CTranslate2's name of fairseq's <pad>
NO_PENALTY = 1e-9  # 0 would let a search end before it has --beam hypotheses
RARE = -1.0  # log-probability of eos as the first token, up to which scores are corrected exactly

Hypotheses = list[tuple[Tokens, float]]


class CTranslate2Search:
    """The teacher of a job in CTranslate2.

    Args:
        fairseq: the same teacher in fairseq.
    Attributes:
        repeated: number of sources that were searched again by fairseq.
    Raises:
        ValueError: the teacher cannot be exported.
    """

    def __init__(self, job: Job, fairseq: FairseqSearch) -> None:
        self.fairseq, self.generator = fairseq, fairseq.generator
        normalizes = self.generator.normalize_scores
        self.penalty = self.generator.len_penalty if normalizes else 0.0
        self.dataset: Any = job.task.dataset(job.corpus.place.split)
        self.source = [PADDING if x == "<pad>" else x for x in job.dictionaries[0].symbols]
        target = job.dictionaries[1]
        self.target = {symbol: index for index, symbol in enumerate(target.symbols)}
        self.target[PADDING] = target.pad()
        self.pad, self.eos, self.special = target.pad(), target.eos(), target.nspecial
        self.translator = load_translator(job)
        self.repeated = 0

    def run(self, samples: Iterable[Sample]) -> Iterator[Answers]:
        """Yield the answers for every batch; all batches are searched at once."""
        started = []
        for sample in samples:
            rows = sample["net_input"]["src_tokens"].tolist()
            started.append((sample, self._start(rows, self.fairseq.limit(sample), 0)))
        for sample, results in started:
            yield self._answers(sample, list(map(self._hypotheses, results)))

    def _start(self, rows: Sequence[Sequence[int]], limit: int, shortest: int) -> Sequence[Any]:
        """Start the search for sources; return a result for each, to be waited for.

        Args:
            limit, shortest: largest and smallest number of tokens before eos.
        """
        results: Sequence[Any] = self.translator.translate_batch(
            [self._words(row) for row in rows],
            asynchronous=True,
            max_batch_size=BATCH_TOKENS,
            batch_type="tokens",
            beam_size=self.generator.beam_size,
            num_hypotheses=self.generator.beam_size,
            length_penalty=self.penalty or NO_PENALTY,
            min_decoding_length=shortest,
            max_decoding_length=limit + 1,  # and eos
            max_input_length=0,  # no limit
            return_scores=True,
            return_end_token=True,
        )
        return results

    def _words(self, row: Sequence[int]) -> list[str]:
        """Return a row's tokens, without padding and eos, which CTranslate2 appends."""
        return [self.source[i] for i in row if i not in (self.pad, self.eos)]

    def _hypotheses(self, result: Any) -> Hypotheses:
        """Wait for a result; return hypotheses with eos, and their scores."""
        done = result.result()
        ids = [[self.target[word] for word in words] for words in done.hypotheses]
        return [(np.array(x, dtype=np.int64), y) for x, y in zip(ids, done.scores, strict=True)]

    def _answers(self, sample: Sample, hypotheses: list[Hypotheses]) -> Answers:
        rows, limit = sample["net_input"]["src_tokens"].tolist(), self.fairseq.limit(sample)
        self._replace_empty(rows, hypotheses, limit)
        answers, again = {}, []
        for index, row, pairs in zip(sample["id"].tolist(), rows, hypotheses, strict=True):
            if self._is_sentence(row) and all(self._is_possible(tokens) for tokens, _ in pairs):
                answers[index] = [self.fairseq.hypothesis(*pair, limit) for pair in pairs]
            else:
                again.append(index)
        if again:
            self.repeated += len(again)
            batch = self.dataset.collater([self.dataset[index] for index in again])
            answers.update(self.fairseq.answers_within(batch, limit))
        return list(answers.items())

    def _replace_empty(
        self, rows: list[list[int]], hypotheses: list[Hypotheses], limit: int
    ) -> None:
        """Search again, without empty hypotheses, where there is one and --min-len is 1.

        CTranslate2 then divides all probabilities of the first token by 1 minus that of eos, which
        changes no search but the scores.
        """
        eos = {i: score for i, x in enumerate(hypotheses) for ids, score in x if len(ids) == 1}
        eos = {i: x for i, x in eos.items() if x < RARE and self._is_sentence(rows[i])}
        if self.generator.min_len != 1 or not eos:
            return
        results = self._start([rows[i] for i in eos], limit, 1)
        for (i, score), result in zip(eos.items(), results, strict=True):
            shift = math.log1p(-math.exp(score))
            pairs = [
                (ids, x + shift / len(ids) ** self.penalty) for ids, x in self._hypotheses(result)
            ]
            hypotheses[i] = sorted(pairs, key=lambda pair: -pair[1])

    def _is_sentence(self, row: Sequence[int]) -> bool:
        """Return false for sources that CTranslate2 does not give to the model as they are."""
        words = [i for i in row if i not in (self.pad, self.eos)]
        return bool(words) and all(i >= self.special - 1 for i in words)  # <unk> is the last

    def _is_possible(self, tokens: Tokens) -> bool:
        """Return whether fairseq's generator may return a hypothesis, `(T,)` with eos."""
        return bool(
            len(tokens) > self.generator.min_len
            and tokens[-1] == self.eos
            and not (tokens == self.pad).any()
        )


def load_translator(job: Job) -> Any:
    """Export the teacher to a temporary folder beside --out, compare it with fairseq, and load it.

    Raises:
        ValueError: CTranslate2 cannot load it, or it differs from fairseq.
    """
    import ctranslate2

    request = job.request
    on_gpu = torch.cuda.is_available() and not job.cfg.common.cpu
    threads = 1 if on_gpu else torch.get_num_threads()
    with folder_beside(request.out.with_name(f"{request.out.name}.teacher")) as folder:
        out = folder / "ctranslate2"
        try:
            export(
                ExportRequest(
                    Path(request.path),
                    "ctranslate2",
                    out,
                    data=Path(data_shards(job.cfg.task.data)[0]),
                    beam="5",  # nothing is measured: the flags of this command set the beam
                )
            )
        except ValueError as error:
            reason = str(error).replace("--data ", "").replace("--gen-subset", "split")
            raise ValueError(
                f"--backend ctranslate2: the teacher cannot be exported: {reason}; use --backend "
                "fairseq"
            ) from error
        return ctranslate2.Translator(
            str(out),
            device="cuda" if on_gpu else "cpu",
            compute_type="float32",
            inter_threads=threads,
            intra_threads=1,
            max_queued_batches=-1,
        )
