"""Export BERT students to ONNX Runtime, and run them."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .engines import Engine, Floats, Search, encoder_output, normalized
from .loaded_model import LoadedModel
from .sample_batches import Sample

MODEL = "model.onnx"
OPSET = 17  # the first with LayerNormalization as one operator
INPUT, OUTPUT = "tokens", "output"
# On CPUs, the kernel of this fusion is slower than an addition and a LayerNormalization: int8
# students of 6 layers x 228 and 2 x 384 are 1.16 times as fast without it, also in use.py.
SLOW_ON_CPUS = "SkipLayerNormFusion"


class _Outputs(nn.Module):
    """A BERT whose only input is token ids."""

    def __init__(self, student: LoadedModel) -> None:
        super().__init__()
        self.model, self.student = student.model.float().cpu(), student

    def forward(self, tokens: Tensor) -> Tensor:
        return encoder_output(self.model, self.student, tokens)


def write(student: LoadedModel, folder: Path, quantization: str | None) -> None:
    """Write model.onnx: token ids `(B, T)` int64, padded on the right, to outputs `(B, K)`.

    The outputs of masked_lm are `(B, T, V)`.

    Args:
        folder: an existing folder.
        quantization: `int8`: the weights, and activations dynamically; None: float32.
    """
    path = folder / MODEL
    dictionary = student.task.source_dictionary
    pad, eos, word = dictionary.pad(), dictionary.eos(), dictionary.nspecial
    # With padding, so that the trace takes the branch for it, which is also right without padding.
    example = torch.tensor([[dictionary.bos(), word, word, eos], [dictionary.bos(), eos, pad, pad]])
    axes = {INPUT: {0: "batch", 1: "length"}, OUTPUT: {0: "batch"}}
    if student.info.task == "masked_lm":
        axes[OUTPUT][1] = "length"
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        # The dynamo exporter rejects fairseq's encoder, which branches on its input.
        torch.onnx.export(
            _Outputs(student).eval(),
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            dynamic_axes=axes,
            input_names=[INPUT],
            output_names=[OUTPUT],
        )
    if quantization:
        _quantize(path)


def _quantize(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small, log = path.with_name("small.onnx"), logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)  # onnxruntime recommends pre-processing, which is useless here
    try:
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)
    finally:
        log.setLevel(level)
    small.replace(path)


def engine(student: LoadedModel, folder: Path, search: Search, device: str) -> Engine:
    """Load an exported folder as an engine for samples of the student's task."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    is_gpu = device == "cuda"
    session = onnxruntime.InferenceSession(
        str(folder / MODEL),
        options,
        providers=["CUDAExecutionProvider"] if is_gpu else ["CPUExecutionProvider"],
        disabled_optimizers=[] if is_gpu else [SLOW_ON_CPUS],
    )
    return Encoder(session, student)


class Encoder:
    """A BERT in ONNX Runtime."""

    def __init__(self, session: Any, student: LoadedModel) -> None:
        self.session, self.student = session, student

    def run(self, sample: Sample) -> list[Floats]:
        tokens = sample["net_input"]["src_tokens"].cpu().numpy()
        return list(self.session.run(None, {INPUT: tokens})[0])

    def log_probs(self, sample: Sample) -> list[Floats]:
        return normalized(self.run(sample), sample, self.student)
