"""What a model computes on its way: embeddings, hidden states, queries, keys and values.

Hooks exist only inside `with Tap(model)`, and nothing is left on the model. All tensors of a trace
are batch-first. Shape letters: B batch, T length of a side, S length of the keys, C width, H heads.
"""

from functools import partial
from typing import Any

from fairseq.modules import LayerDropModuleList
from torch import Tensor, nn

from ..losses.layers import AttentionActivations, LayerActivations, LayerStack
from .outputs import unwrapped

SIDES = ("encoder", "decoder", "cross")


def layer_stacks(model: nn.Module) -> dict[str, LayerStack]:
    """The sides that a fairseq transformer has: `encoder`, `decoder`, and `cross` attention.

    Raises:
        ValueError: the model has no stack of fairseq's transformer layers.
    """
    inner = unwrapped(model)
    encoder: Any = getattr(inner, "encoder", None)
    encoder = getattr(encoder, "sentence_encoder", encoder)  # RoBERTa keeps it one level deeper
    found = {}
    for side, owner in (("encoder", encoder), ("decoder", getattr(inner, "decoder", None))):
        layers = getattr(owner, "layers", None)
        if isinstance(layers, nn.ModuleList) and all(hasattr(x, "self_attn") for x in layers):
            attention: Any = layers[0].self_attn
            found[side] = LayerStack(layers, attention.embed_dim, attention.num_heads)
    if "decoder" in found and getattr(found["decoder"].layers[0], "encoder_attn", None) is not None:
        cross: Any = found["decoder"].layers[0].encoder_attn
        found["cross"] = LayerStack(found["decoder"].layers, cross.embed_dim, cross.num_heads)
    if not found:
        raise ValueError(
            f"{type(inner).__name__} has no layers of fairseq's transformer: only --kd-lambda can "
            "distill it, every other --kd-...-weight must be 0"
        )
    return found


def check_recordable(model: nn.Module, with_attention: bool) -> None:
    """Refuses students whose layers do not run once, in order, with a gradient.

    Raises:
        ValueError: LayerDrop, or activation checkpointing where attentions are wanted.
    """
    for side, stack in layer_stacks(model).items():
        if isinstance(stack.layers, LayerDropModuleList) and stack.layers.p > 0:
            raise ValueError(
                f"--{side}-layerdrop {stack.layers.p}: layers that are skipped at random cannot be "
                "matched with the teacher's; set it to 0, or every --kd-...-weight"
            )
        checkpointed = any("forward" in vars(layer) for layer in stack.layers)
        if with_attention and checkpointed:
            raise ValueError(
                "--checkpoint-activations: attentions are computed again in backward, so they "
                "cannot be matched; leave it out, or set --kd-attention-weight and "
                "--kd-relation-weight to 0"
            )


def check_attentions(model: nn.Module, flag: str) -> None:
    """Refuses a model whose attentions would be others on the path where they are recorded.

    Args:
        flag: what names the model.
    Raises:
        ValueError: they are xformers'.
    """
    if any(getattr(module, "use_xformers", False) for module in model.modules()):
        raise ValueError(
            f"{flag}: attentions of xformers cannot be matched; build the model without "
            "--encoder-xformers-att-config and --decoder-xformers-att-config, or set "
            "--kd-attention-weight and --kd-relation-weight to 0"
        )


class ActivationRecorder:
    """Records one forward pass of a model, inside a `with` block.

    Args:
        model: a fairseq transformer, possibly wrapped for data-parallel training.
        sides: which sides to record.
        with_attention: whether to record attentions too. They then take fairseq's own path
            instead of `F.multi_head_attention_forward`, which shows no projection to a hook.
    """

    def __init__(self, model: nn.Module, sides: tuple[str, ...], with_attention: bool) -> None:
        self._model = model
        self._sides = sides
        self._with_attention = with_attention
        self._handles: list[Any] = []
        self._redirected: list[Any] = []

    def __enter__(self) -> dict[str, LayerActivations]:
        """A trace for every side; it fills while the model runs."""
        trace = {side: LayerActivations() for side in self._sides}
        found = layer_stacks(self._model)
        for side, record in trace.items():
            if side != "cross":
                self._record_states(found[side].layers, record)
            if self._with_attention:
                name = "encoder_attn" if side == "cross" else "self_attn"
                for layer in found[side].layers:
                    self._record_attention(getattr(layer, name), record)
        return trace

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
