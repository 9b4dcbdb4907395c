"""A teacher with a known smaller model inside: what a narrower student must find and reproduce.

Half of the hidden dimensions repeat the other half, so that LayerNorm sees the same mean and
variance without them, and nothing reads them. Half of the FFN units and of each attention's
dimensions are zero. Written from the modules' mathematics, knowing nothing of parameter names.
"""

import torch
from fairseq.models.roberta.model import RobertaModel

HALF = 2


def halves(size, first):
    """(used, spare) indices of `range(size)`: the first half, or a random one."""
    order = torch.arange(size) if first else torch.randperm(size)
    return order[: size // HALF], order[size // HALF :]


def read(linear, spare):
    linear.weight[:, spare] = 0


def write(module, pair):
    used, spare = pair
    for parameter in (module.weight, module.bias):
        parameter[spare] = parameter[used]


def silence(linear, rows):
    linear.weight[rows] = 0
    linear.bias[rows] = 0


def attention(module, hidden, source, heads, first):
    """Leaves `heads` heads alive, and in them as many dimensions as are a half of all."""
    alive = (torch.arange(module.num_heads) if first else torch.randperm(module.num_heads))[:heads]
    dims = module.embed_dim // HALF // heads
    dead = []
    for _ in ("query and key", "value and output"):
        used = torch.zeros(module.num_heads, module.head_dim, dtype=torch.bool)
        for head in alive:
            order = torch.arange(module.head_dim) if first else torch.randperm(module.head_dim)
            used[head, order[:dims]] = True
        dead.append(~used.flatten())
    for linear, rows, columns in (
        (module.q_proj, dead[0], hidden[1]),
        (module.k_proj, dead[0], source[1]),
        (module.v_proj, dead[1], source[1]),
    ):
        silence(linear, rows)
        read(linear, columns)
    read(module.out_proj, dead[1])
    write(module.out_proj, hidden)


def layer(module, hidden, source, heads, first):
    attention(module.self_attn, hidden, hidden, heads, first)
    write(module.self_attn_layer_norm, hidden)
    if getattr(module, "encoder_attn", None) is not None:
        attention(module.encoder_attn, hidden, source, heads, first)
        write(module.encoder_attn_layer_norm, hidden)
    _, spare_units = halves(module.fc1.out_features, first)
    silence(module.fc1, spare_units)
    read(module.fc1, hidden[1])
    read(module.fc2, spare_units)
    write(module.fc2, hidden)
    write(module.final_layer_norm, hidden)


def stack(module, hidden, source, heads, first):
    for table in (module.embed_tokens, module.embed_positions):
        table.weight[:, hidden[1]] = table.weight[:, hidden[0]]
    for norm in (module.layernorm_embedding, module.layer_norm):
        if norm is not None:
            write(norm, hidden)
    for each in module.layers:
        layer(each, hidden, source, heads, first)


def output(weight, table, norm, spare):
    """Nothing reads the spare dimensions; where the output layer is the table, by their gain."""
    if weight is table:
        norm.weight[spare] = 0
        norm.bias[spare] = 0
    else:
        weight[:, spare] = 0


@torch.no_grad()
def plant(model, heads, first=False):
    """Makes half of a fairseq transformer (of learned positions) spare, in place.

    Args:
        heads: how many heads of each attention stay in use.
        first: use the first half of everything rather than a random one.
    """
    encoder, decoder = (getattr(model, side, None) for side in ("encoder", "decoder"))
    source = hidden = None
    if isinstance(model, RobertaModel):
        head, encoder = encoder.lm_head, encoder.sentence_encoder
    if encoder is not None:
        source = halves(encoder.embed_tokens.embedding_dim, first)
        stack(encoder, source, None, heads, first)
    if decoder is not None:
        shares = encoder is not None and encoder.embed_tokens is decoder.embed_tokens
        hidden = source if shares else halves(decoder.embed_dim, first)
        stack(decoder, hidden, source, heads, first)
        norm = decoder.layer_norm or decoder.layers[-1].final_layer_norm
        output(decoder.output_projection.weight, decoder.embed_tokens.weight, norm, hidden[1])
    if isinstance(model, RobertaModel):
        read(head.dense, source[1])
        write(head.dense, source)
        write(head.layer_norm, source)
        output(head.weight, encoder.embed_tokens.weight, head.layer_norm, source[1])
        for classes in model.classification_heads.values():
            _, spare_units = halves(classes.dense.out_features, first)
            silence(classes.dense, spare_units)
            read(classes.dense, source[1])
            read(classes.out_proj, spare_units)
