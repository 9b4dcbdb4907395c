"""Files of the form in which MASS was released."""

import torch

import toy
from conversions import SMALL, TRANSLATION


def as_released(model, pad_row):
    """Return a stock transformer as fairseq 0.8 and the MASS release would have stored it.

    fairseq row i of the vocabulary becomes row `pad_row[i]`; position p moves from row p + 2 to
    p + 1, as the padding index is 0.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        if name.endswith(("embed_tokens.weight", "output_projection.weight")):
            moved = torch.empty_like(tensor)
            moved[torch.tensor(pad_row)] = tensor
            if not name.startswith("decoder.output"):
                state[name] = moved
        elif name.endswith("embed_positions.weight"):
            state[name] = tensor[1:]
        elif not any(f".{x}_proj." in name for x in "qkv"):
            state[name.replace("layernorm_embedding", "emb_layer_norm")] = tensor
    for name in model.state_dict():
        if ".q_proj." in name:
            parts = [model.state_dict()[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
            state[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return state


def mass(folder, change=lambda state: state, last="x26"):
    """Write a file of the released form, with its dictionary; return the flags."""
    data = toy.write_parallel(folder / "data")
    _, model, _ = toy.build(data, "--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION)
    torch.save(change(as_released(model, list(range(31)))), folder / "mass.pt")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"x{i}" for i in range(26)), last]
    (folder / "dict.txt").write_text("".join(f"{piece} 0\n" for piece in pieces), encoding="utf-8")
    return ["--from", "mass", folder / "mass.pt", "--to", "fairseq", folder / "out"]
