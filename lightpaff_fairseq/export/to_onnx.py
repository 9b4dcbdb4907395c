"""BERT students for ONNX Runtime, and the engine that runs them."""

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
OPSET = 17  # LayerNormalization is one operator since then
INPUT, OUTPUT = "tokens", "output"


class _Outputs(nn.Module):
    """A BERT as a function of ids alone."""

    def __init__(self, student: LoadedModel) -> None:
        super().__init__()
        self.model, self.student = student.model.float().cpu(), student

    def forward(self, tokens: Tensor) -> Tensor:
        return encoder_output(self.model, self.student, tokens)


def write(student: LoadedModel, folder: Path, quantization: str | None) -> None:
    """Writes model.onnx: ids `(B, T)` int64 to outputs `(B, K)`; masked_lm: `(B, T, V)`.

    Any B and T, sentences padded on the right.

    Args:
        folder: exists.
        quantization: `int8`: weights, with activations quantized as they come; None: float32.
    """
    path = folder / MODEL
    dictionary = student.task.source_dictionary
    pad, eos, word = dictionary.pad(), dictionary.eos(), dictionary.nspecial
    # With padding, or the trace would take the branch that ignores it. fairseq's other branch
    # computes the same where there is none.
    example = torch.tensor([[dictionary.bos(), word, word, eos], [dictionary.bos(), eos, pad, pad]])
    axes = {INPUT: {0: "batch", 1: "length"}, OUTPUT: {0: "batch"}}
    if student.info.task == "masked_lm":
        axes[OUTPUT][1] = "length"
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        # The newer exporter (dynamo) refuses fairseq's encoder: it branches on its input.
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
    log.setLevel(logging.ERROR)  # it advises to pre-process, which gains nothing here
    try:
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)
    finally:
        log.setLevel(level)
    small.replace(path)


def engine(student: LoadedModel, folder: Path, search: Search, device: str) -> Engine:
    """Loads an exported folder, to be asked with the samples of the student's task."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    providers = ["CUDAExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=providers)
    return Encoder(session, student)


class Encoder:
    """A BERT in ONNX Runtime."""

    def __init__(self, session: Any, student: LoadedModel) -> None:
        self.session, self.student = session, student

    def run(self, sample: Sample) -> list[Floats]:
        """See `Engine`."""
        tokens = sample["net_input"]["src_tokens"].cpu().numpy()
        return list(self.session.run(None, {INPUT: tokens})[0])

    def log_probs(self, sample: Sample) -> list[Floats]:
        """See `Engine`."""
        return normalized(self.run(sample), sample, self.student)
