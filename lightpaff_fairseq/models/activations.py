"""Record the activations of a fairseq transformer: embeddings, hidden states, attentions.

Hooks exist only inside `with ActivationRecorder(...)`.
"""

from functools import partial
from typing import Any

from fairseq.modules import LayerDropModuleList
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..losses.layers import AttentionActivations, LayerActivations, LayerStack
from ..problems import Problems
from .outputs import unwrapped

MODULES = ("encoder", "decoder", "cross")


def layer_stacks(model: nn.Module) -> dict[str, LayerStack]:
    """Return the layers of a fairseq transformer's `encoder`, `decoder` and `cross` attention.

    Raises:
        ValueError: the model has no stack of fairseq's transformer layers.
    """
    inner: Any = unwrapped(model)
    encoder = getattr(inner, "encoder", None)
    encoder = getattr(encoder, "sentence_encoder", encoder)  # RoBERTa keeps it one level deeper
    stacks = {}
    for name, owner in (("encoder", encoder), ("decoder", getattr(inner, "decoder", None))):
        layers = getattr(owner, "layers", None)
        if isinstance(layers, nn.ModuleList) and all(hasattr(x, "self_attn") for x in layers):
            stacks[name] = _stack(layers, "self_attn")
    decoder = stacks.get("decoder")
    if decoder and getattr(decoder.layers[0], "encoder_attn", None) is not None:
        stacks["cross"] = _stack(decoder.layers, "encoder_attn")
    if not stacks:
        raise ValueError(
            f"{type(inner).__name__} has no layers of fairseq's transformer: set every "
            "--kd-...-weight to 0 and use --kd-lambda alone"
        )
    return stacks


def _stack(layers: nn.ModuleList, attention: str) -> LayerStack:
    module: Any = getattr(layers[0], attention)
    return LayerStack(layers, module.embed_dim, module.num_heads)


def check_recordable(model: nn.Module, with_attention: bool) -> None:
    """Refuse a student whose layers do not run once, in order, with a gradient.

    Raises:
        ValueError: LayerDrop, or activation checkpointing where attentions must be recorded.
    """
    problems, checkpointed = Problems(), False
    for name, (layers, *_) in layer_stacks(model).items():
        if isinstance(layers, LayerDropModuleList) and layers.p > 0:
            problems.add(
                f"--{name}-layerdrop {layers.p}: layers that are skipped at random cannot be "
                "matched with the teacher's; set it to 0, or every --kd-...-weight"
            )
        if with_attention and any("forward" in vars(layer) for layer in layers):
            checkpointed = True
    if checkpointed:
        problems.add(
            "--checkpoint-activations: attentions are computed again in backward, so they cannot "
            "be matched; leave it out, or set --kd-attention-weight and --kd-relation-weight to 0"
        )
    problems.raise_if_any()


def check_attentions(model: nn.Module, flag: str) -> None:
    """Raise ValueError if a model, which `flag` names, has attentions of xformers."""
    if any(getattr(module, "use_xformers", False) for module in model.modules()):
        raise ValueError(
            f"{flag}: attentions of xformers cannot be matched; build the model without "
            "--encoder-xformers-att-config and --decoder-xformers-att-config, or set "
            "--kd-attention-weight and --kd-relation-weight to 0"
        )


class ActivationRecorder:
    """Record one forward pass of a model, inside a `with` block.

    Args:
        model: a fairseq transformer, possibly wrapped for data-parallel training.
        modules: some of `MODULES`.
        with_attention: record attentions too. They then use fairseq's own implementation instead of
            `F.multi_head_attention_forward`, which bypasses the hooks of the projections.
    """

    def __init__(self, model: nn.Module, modules: tuple[str, ...], with_attention: bool) -> None:
        self._model, self._modules, self._with_attention = model, modules, with_attention
        self._handles: list[RemovableHandle] = []
        self._redirected: list[Any] = []

    def __enter__(self) -> dict[str, LayerActivations]:
        """Return the activations of each module, which fill while the model runs."""
        activations = {name: LayerActivations() for name in self._modules}
        stacks = layer_stacks(self._model)
        for name, record in activations.items():
            layers = stacks[name].layers
            if name != "cross":
                self._record_states(layers, record)
            if self._with_attention:
                attention = "encoder_attn" if name == "cross" else "self_attn"
                for layer in layers:
                    self._record_attention(getattr(layer, attention), record)
        return activations

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for module in self._redirected:
            module.skip_embed_dim_check = False
        self._redirected.clear()

    def _record_states(self, layers: nn.ModuleList, record: LayerActivations) -> None:
        def before(_module: nn.Module, args: tuple[Any, ...]) -> None:
            record.embedding = args[0].transpose(0, 1)  # (T, B, C) -> (B, T, C)

        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            record.hidden.append(hidden.transpose(0, 1))  # (T, B, C) -> (B, T, C)

        self._handles.append(layers[0].register_forward_pre_hook(before))
        self._handles += [layer.register_forward_hook(after) for layer in layers]

    def _record_attention(self, module: Any, record: LayerActivations) -> None:
        attention = AttentionActivations(module)
        record.attention.append(attention)
        if not module.skip_embed_dim_check:
            module.skip_embed_dim_check = True
            self._redirected.append(module)

        def after(which: str, _module: nn.Module, _args: Any, output: Tensor) -> None:
            if which == "query":
                output = output.clone()  # fairseq scales it in place
            attention.projected[which] = output.transpose(0, 1)  # (T, B, C) -> (B, T, C)

        for which in ("query", "key", "value"):
            projection = getattr(module, f"{which[0]}_proj")
            self._handles.append(projection.register_forward_hook(partial(after, which)))
