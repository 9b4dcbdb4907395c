"""Outputs that a student in training generates, as batches to learn from.

Shape letters: B batch, S source length, T target length.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from fairseq import utils
from fairseq.data.data_utils import collate_tokens
from fairseq.sequence_generator import SequenceGenerator
from torch import Tensor, nn

from ..problems import as_value_error
from ..protocols import ON_POLICY, Sample

ARGS = "--kd-on-policy-args"
TARGET_INPUT = "prev_output_tokens"  # of encoder-decoders
KEPT = ("id", "nsentences", "net_input")


class StudentOutputs:
    """fairseq's generator over a student.

    Args:
        student: the model in training, without wrappers; task: its task.
        arguments: of the generator, by fairseq's names.
        prompt: tokens that language models continue; prefix: tokens of the target that
            encoder-decoders do not predict (`--ignore-prefix-size`).
    Raises:
        ValueError: the task has another generator, or rejects the arguments.
    """

    def __init__(
        self, student: Any, task: Any, arguments: dict[str, Any], prompt: int, prefix: int
    ) -> None:
        self._student, self._task = student, task
        self._prompt, self._prefix = prompt, prefix
        self._has_source = hasattr(student, "encoder")
        k = arguments.get("sampling_topk", -1)
        if k > len(task.target_dictionary):
            raise ValueError(f"{ARGS}: expected a sampling_topk of at most the vocabulary, got {k}")
        with as_value_error(f"{ARGS} {arguments}"), inference(student):
            generator = task.build_generator([student], Namespace(**arguments))
        if not isinstance(generator, SequenceGenerator):
            raise ValueError(
                f"--kd-on-policy: expected a task with fairseq's SequenceGenerator, got "
                f"{type(task).__name__} with {type(generator).__name__}"
            )
        limit: Any = utils.resolve_max_positions(task.max_positions(), student.max_positions())
        limit = limit[-1] if isinstance(limit, tuple | list) else limit
        generator.max_len = min(generator.max_len, int(limit))
        if not self._has_source:
            generator.max_len_b += prompt
        shortest = max(generator.min_len, 0 if self._has_source else prompt) + 1
        if generator.max_len <= shortest:
            raise ValueError(
                f"--kd-on-policy: expected room for more than {shortest} tokens, of prompt or "
                f"min_len and eos, got a limit of {generator.max_len} positions"
            )
        self._generator: Any = generator

    def batch(self, sample: Sample, seed: int) -> Sample:
        """Return a batch whose targets are the student's outputs for the inputs of `sample`.

        Dropout is off, and the random state, the modes of all modules and the gradients of the
        student are as before.

        Args:
            seed: of the draws.
        Raises:
            ValueError: the generator stops, because the student's outputs are no numbers.
        """
        prefix: Any = self._target_prefix(sample) if self._has_source else self._prompts(sample)
        with inference(self._student), seeded(seed, sample["target"].device):
            try:
                hypotheses = self._task.inference_step(
                    self._generator, [self._student], sample, prefix_tokens=prefix
                )
            except (AssertionError, RuntimeError) as error:
                if "out of memory" in str(error):
                    raise
                raise ValueError(
                    f"--kd-on-policy: fairseq's generator stopped ({error}): expected finite "
                    "outputs of the student"
                ) from error
        rows = [best[0]["tokens"].to(sample["target"]) for best in hypotheses]
        if self._has_source:
            return self._of_pairs(sample, rows)
        return self._of_text(sample, rows, prefix)

    def _target_prefix(self, sample: Sample) -> Tensor | None:
        return sample["target"][:, : self._prefix] if self._prefix else None

    def _prompts(self, sample: Sample) -> Tensor:
        """Return the prompts `(B, P)`, padded: the beginning of every block, after its last eos."""
        dictionary = self._task.source_dictionary
        prompts = []
        for row in sample["net_input"]["src_tokens"]:
            row = row[row.ne(dictionary.pad())][: self._prompt + 1]
            ends = (row.eq(dictionary.eos()) | row.eq(dictionary.bos())).nonzero()
            begin = int(ends[-1]) + 1 if len(ends) else 0
            prompts.append(row[begin:][: self._prompt])
        return self._padded(prompts)

    def _padded(self, rows: Sequence[Tensor]) -> Tensor:
        padded: Tensor = collate_tokens(rows, self._task.target_dictionary.pad())
        return padded

    def _of_pairs(self, sample: Sample, rows: Sequence[Tensor]) -> Sample:
        """Return a batch of an encoder-decoder."""
        given = sample["net_input"][TARGET_INPUT]
        first = given.ne(self._task.target_dictionary.pad()).int().argmax(1, keepdim=True)
        starts = given.gather(1, first)  # eos, or a language
        shifted = [torch.cat([s, row[:-1]]) for s, row in zip(starts, rows, strict=True)]
        inputs = {TARGET_INPUT: self._padded(shifted)}
        return self._with(sample, inputs, self._padded(rows))

    def _of_text(self, sample: Sample, rows: Sequence[Tensor], prompts: Tensor) -> Sample:
        """Return a batch of a language model, without labels in the prompt."""
        pad = self._task.target_dictionary.pad()
        dictionary, args = self._task.source_dictionary, getattr(self._task, "args", None)
        has_bos = getattr(args, "add_bos_token", False)  # as inference_step of the task asks
        start = rows[0].new_tensor([dictionary.bos() if has_bos else dictionary.eos()])
        shifted = [torch.cat([start, row[:-1]]) for row in rows]
        target = self._padded(rows)
        lengths = prompts.ne(pad).sum(1, keepdim=True)
        places = torch.arange(target.size(1), device=target.device)
        target = target.masked_fill(places < lengths, pad)
        inputs = {"src_tokens": self._padded(shifted)}
        inputs["src_lengths"] = torch.tensor([len(row) for row in rows], device=target.device)
        return self._with(sample, inputs, target)

    def _with(self, sample: Sample, inputs: dict[str, Tensor], target: Tensor) -> Sample:
        given: Any = sample
        kept: Any = {name: given[name] for name in KEPT if name in given}
        kept["net_input"] = {**given["net_input"], **inputs}
        tokens = int(target.ne(self._task.target_dictionary.pad()).sum())
        kept.update({"target": target, "ntokens": tokens, ON_POLICY: True})
        batch: Sample = kept
        return batch


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Run a model without dropout and gradients; restore the mode of every module."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device.type
    is_autocast = torch.is_autocast_enabled(device)
    # weights that --amp casts without gradients must not be reused with them
    cast = torch.autocast(device, torch.get_autocast_dtype(device), is_autocast, False)
    model.eval()
    try:
        with torch.no_grad(), cast:
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from a seed; restore the random state."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
