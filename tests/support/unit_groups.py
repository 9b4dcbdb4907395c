"""A tiny layer of FFN units in a hidden dimension: its axes, random tensors, and its masks."""

import torch

AXES = {
    "w1": ("ffn", "hidden"),
    "b1": ("ffn",),
    "w2": ("hidden", "ffn"),
    "table": ("", "hidden"),
}
SHAPES = {"w1": (6, 4), "b1": (6,), "w2": (4, 6), "table": (9, 4)}


def tensors(seed):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in SHAPES.items()}


def everything():
    return {
        "hidden": torch.ones(4, dtype=torch.bool),
        "ffn": torch.ones(6, dtype=torch.bool),
    }


def naive_sums(values, kept):
    found = {"hidden": [0.0] * 4, "ffn": [0.0] * 6}
    for i in range(6):
        found["ffn"][i] += values["b1"][i].item()
        for j in range(4):
            for weight, row in ((values["w1"][i, j], i), (values["w2"][j, i], i)):
                found["ffn"][row] += weight.item() * kept["hidden"][j].item()
                found["hidden"][j] += weight.item() * kept["ffn"][i].item()
    for j in range(4):
        found["hidden"][j] += values["table"][:, j].sum().item()
    return {g: torch.tensor(v, dtype=torch.float64) for g, v in found.items()}
