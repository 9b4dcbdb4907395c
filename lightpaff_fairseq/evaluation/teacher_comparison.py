"""Compare the distributions of models with those of a teacher, on the reference text.

In this process, unlike the other figures of `lightpaff evaluate`: fairseq's commands do not print
distributions.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.models import FairseqEncoderDecoderModel, FairseqLanguageModel
from torch import Tensor, nn

from ..checkpoints.building import build, heads_in, load_weights, value_of
from ..checkpoints.dictionaries import check_trained_with, set_up_in
from ..checkpoints.reading import read_checkpoint
from ..fairseq_flags import parse_fairseq
from ..losses.label_positions import LabelPositions
from ..losses.model_output import LogitsOutput, ModelOutput
from ..models.outputs import decoder_output
from ..problems import as_value_error
from ..progress import Progress
from ..protocols import Sample
from ..teachers.cache.source import Batching, batches, check_longest, set_up_task, to_device_of
from .agreement import BINS, Agreement, Calibration
from .classification import BATCH
from .evaluation_request import (
    LANGUAGE_MODELING,
    SENTENCE_PREDICTION,
    TRANSLATION,
    EvaluationRequest,
)
from .markdown_table import Column, decimals
from .model_rows import Evaluation, ModelFile, Row

ROWS = 256  # positions whose distributions are in memory at once
COMMANDS = {TRANSLATION: "fairseq-generate", LANGUAGE_MODELING: "fairseq-eval-lm"}
TYPES: dict[str, tuple[type, str]] = {
    TRANSLATION: (FairseqEncoderDecoderModel, "an encoder-decoder"),
    LANGUAGE_MODELING: (FairseqLanguageModel, "a language model"),
}
COLUMNS = (
    Column("accepted", "draft_acceptance", decimals(1, " %")),
    Column("same argmax", "argmax_agreement", decimals(1, " %")),
    Column("ECE", "ece", decimals(1, " %")),
    Column("KL bits", "kl_bits", decimals(3)),
)


class TeacherComparison:
    """A teacher, and the split on which models are compared with it.

    Args:
        request: with a `teacher`.
    Raises:
        ValueError: the teacher cannot be used, or was trained with other dictionaries than those of
            the data; the split is missing, or has samples that are too long for it.
    """

    def __init__(self, request: EvaluationRequest) -> None:
        assert request.teacher is not None
        self.request, self._named = request, f"--teacher {request.teacher}"
        state = read_checkpoint(request.teacher, "--teacher")
        cfg, data = state["cfg"].task, f"DATA {request.data}"
        self.task = self._set_up(cfg)
        check_trained_with(("--teacher", request.teacher), cfg, self.task, data)
        self._is_tokens = request.task != SENTENCE_PREDICTION
        self.teacher = self._build(state, self._named)
        subset = request.subset
        with as_value_error(f"--gen-subset {subset}: no such split in {request.data}"):
            self.dataset: Any = self.task.load_dataset(subset) or self.task.dataset(subset)
        self._check_lengths()

    def add_to(self, result: Evaluation, models: Sequence[ModelFile]) -> Evaluation:
        """Return an evaluation with the figures of its rows' models.

        Raises:
            ValueError: a model cannot be loaded, or outputs no numbers.
        """
        states = [read_checkpoint(model.path, "--path") for model in models]
        loaded = [
            self._build(state, f"--path {model.path}")
            for state, model in zip(states, models, strict=True)
        ]
        of_models, of_teacher = self._run(loaded)
        teacher: Row = {
            "teacher": str(self.request.teacher),
            "teacher_ece": round(of_teacher.error, 2),
        }
        for row, model, agreement in zip(result.rows, models, of_models, strict=True):
            figures = agreement.row()
            if not np.isfinite(figures["kl_bits"]):
                raise ValueError(
                    f"--path {model.path}: expected a probability above 0 wherever {self._named} "
                    f"has one, got a KL divergence of {figures['kl_bits']}"
                )
            row.update(figures, **teacher)
        columns = [column for column in COLUMNS if column.key in result.rows[0]]
        unit = "tokens of the reference" if self._is_tokens else "sentences"
        note = (
            f"against {self._named} (ECE {of_teacher.error:.1f} %), over {of_teacher.positions:,} "
            f"{unit}; ECE of {BINS} bins"
        )
        return replace(result, columns=[*result.columns, *columns], notes=[*result.notes, note])

    def _set_up(self, trained_cfg: Any) -> Any:
        """Return the task, as fairseq's command sets it up, with the flags of the request."""
        request, name = self.request, value_of(trained_cfg, "_name")
        if request.task == SENTENCE_PREDICTION:
            if name != SENTENCE_PREDICTION:
                raise ValueError(
                    f"{self._named}: expected a model of --task {SENTENCE_PREDICTION}, got {name}"
                )
            if trained_cfg.regression_target:
                raise ValueError(f"{self._named}: expected classes, got a regression")
            task = set_up_in(trained_cfg, request.data)
            if task is None:
                raise ValueError(f"DATA {request.data}: expected data of --task {request.task}")
            return task
        argv = [str(request.data), "--task", request.task, "--gen-subset", request.subset]
        if request.task == LANGUAGE_MODELING:
            argv += ["--tokens-per-sample", str(request.tokens_per_sample)]
        command = COMMANDS[request.task]
        cfg = parse_fairseq(command, argv, "--generate-flags", request.generate_flags)
        if cfg.eval_lm.context_window:
            raise ValueError(
                f"--generate-flags --context-window {cfg.eval_lm.context_window}: expected 0 with "
                "--teacher"
            )
        return set_up_task(cfg.task, request.subset)

    def _build(self, state: Any, named: str) -> nn.Module:
        """Return the model of a checkpoint, on a GPU if there is one."""
        cfg, tensors = state["cfg"].model, state["model"]
        model: nn.Module = build(cfg, self.task, heads_in(tensors), named)
        if self._is_tokens:
            kind, words = TYPES[self.request.task]
            if not isinstance(model, kind):
                raise ValueError(f"{named}: expected {words}, got {type(model).__name__}")
        load_weights(model, tensors, cfg, named)
        return model.cuda() if torch.cuda.is_available() else model

    def _check_lengths(self) -> None:
        limit: Any = self.teacher.max_positions()  # type: ignore[operator]
        if not self._is_tokens:
            limit = utils.resolve_max_positions(limit)
            limit = min(limit) if isinstance(limit, tuple | list) else limit
        _, longer = self.dataset.filter_indices_by_size(np.arange(len(self.dataset)), limit)
        if len(longer):
            raise ValueError(
                f"{self._named}: expected samples of at most {limit} tokens in split "
                f"{self.request.subset}, got {len(longer)} longer ones"
            )

    @torch.no_grad()
    def _run(self, models: Sequence[nn.Module]) -> tuple[list[Agreement], Calibration]:
        """Run all models over the split; return their figures, and the teacher's calibration."""
        figures, calibration = [Agreement(self._is_tokens) for _ in models], Calibration()
        tokens = np.array([self.dataset.num_tokens(i) for i in range(len(self.dataset))])
        batching = Batching(self.request.max_tokens, None, 0)
        if not self._is_tokens:
            batching = Batching(None, BATCH, 0)
        check_longest(tokens, batching)
        order = np.argsort(-tokens, kind="stable")
        with Progress("evaluate", len(order), "sentences") as progress:
            for sample in batches(self.dataset, order, batching):
                sample = to_device_of(self.teacher, sample)
                target, output_t = self._output(self.teacher, sample)
                outputs = [self._output(model, sample)[1] for model in models]
                for start in range(0, len(target), ROWS):
                    rows = slice(start, start + ROWS)
                    lprobs_t = _lprobs(output_t, rows)
                    calibration.add(lprobs_t, target[rows])
                    for agreement, output in zip(figures, outputs, strict=True):
                        agreement.add(_lprobs(output, rows), lprobs_t, target[rows])
                progress.advance(len(sample["id"]), "against the teacher")
        return figures, calibration

    def _output(self, model: nn.Module, sample: Sample) -> tuple[Tensor, ModelOutput]:
        """Return the labels `(N,)` and a model's output there."""
        target, inputs = sample["target"], sample["net_input"]
        if self._is_tokens:
            positions = LabelPositions.of(target.ne(self.task.target_dictionary.pad()))
            return positions.take(target), decoder_output(model, inputs, positions)
        head = self.task.cfg.classification_head_name
        logits = model(**inputs, features_only=True, classification_head_name=head)[0]
        return target.view(-1), LogitsOutput(logits)


def _lprobs(output: ModelOutput, rows: slice) -> Tensor:
    """Return log-probabilities `(n, V)` in float32."""
    return output.logits(rows).float().log_softmax(-1)
