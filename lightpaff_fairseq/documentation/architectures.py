"""Architectures and their sizes, counted on the models themselves."""

from argparse import Namespace
from types import SimpleNamespace

from fairseq import models
from fairseq.data import Dictionary
from torch._subclasses.fake_tensor import FakeTensorMode

from .registry import ours, table

VOCABULARIES = (8192, 32000)  # the sizes at which parameters are stated


def architecture_section() -> str:
    """All architectures with their sizes, in Markdown."""
    rows = []
    for arch in ours(models.ARCH_CONFIG_REGISTRY):
        fixed, each = parameter_formula(arch)
        counts = [f"{(fixed + each * v) / 1e6:.1f} M" for v in VOCABULARIES]
        model = models.ARCH_MODEL_NAME_REGISTRY[arch]
        rows.append([f"`{arch}`", f"`{model}`", _sizes(arch), f"{fixed:,} + {each:,} V", *counts])
    head = ["--arch", "model", "layers x width x heads, FFN", "parameters, V symbols"]
    head += [f"V = {v:,}" for v in VOCABULARIES]
    return f"## Architectures\n\n{table(head, rows)}"


def _filled(arch: str) -> Namespace:
    """The values of an architecture, given what a task's parser adds."""
    args = Namespace(arch=arch, tokens_per_sample=512, max_target_positions=None)
    models.ARCH_CONFIG_REGISTRY[arch](args)
    return args


def _sizes(arch: str) -> str:
    args = _filled(arch)
    sides = [s for s in ("encoder", "decoder") if hasattr(args, f"{s}_layers")]
    layers = "+".join(str(getattr(args, f"{s}_layers")) for s in sides)
    names = "embed_dim", "attention_heads", "ffn_embed_dim"
    width, heads, ffn = (getattr(args, f"{sides[0]}_{name}") for name in names)
    return f"{layers} x {width} x {heads}, {ffn}"


def parameter_formula(arch: str) -> tuple[int, int]:
    """(parameters that do not depend on the vocabulary, parameters a symbol) of an architecture."""
    few, more = (_count(arch, vocabulary) for vocabulary in (100, 101))
    return few - 100 * (more - few), more - few


def _count(arch: str, vocabulary: int) -> int:
    symbols = Dictionary()
    for i in range(vocabulary - symbols.nspecial):
        symbols.add_symbol(f"w{i}")
    task = SimpleNamespace(source_dictionary=symbols, target_dictionary=symbols)
    with FakeTensorMode():  # shapes without memory; unlike the meta device it lets BERT initialize
        model = models.ARCH_MODEL_REGISTRY[arch].build_model(_filled(arch), task)
    return sum(p.numel() for p in model.parameters())
