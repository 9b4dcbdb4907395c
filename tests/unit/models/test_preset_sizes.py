"""BERT and GPT-2 presets: sizes as stated, structure as named."""

import math
from argparse import Namespace

import pytest
import torch
from fairseq import models
from fairseq.models.roberta import RobertaModel
from fairseq.models.roberta import model as roberta
from fairseq.models.transformer_lm import TransformerLanguageModel
from torch.nn import functional

from lightpaff_fairseq.models import bert_presets as bert
from lightpaff_fairseq.models import gpt2_presets as gpt2
from vocabularies import task_with_vocabulary

BERT_ARCHS = {f"roberta_{name}": preset for name, preset in bert.PRESETS.items()}
GPT2_ARCHS = {f"transformer_lm_gpt2_{name}": preset for name, preset in gpt2.PRESETS.items()}
ARCHS = {**BERT_ARCHS, **GPT2_ARCHS}
STOCK = {"roberta": RobertaModel, "transformer_lm": TransformerLanguageModel}
# what the parser of a task adds to the command line's namespace
TASK_FLAGS = {"tokens_per_sample": 64, "max_target_positions": None, "add_bos_token": False}


def on_paper(arch, vocabulary):
    """Count every linear map with its bias, every LayerNorm with scale and shift, tied output."""
    sizes = ARCHS[arch]
    c, f = sizes.width, sizes.ffn
    layer = 4 * (c * c + c) + (c * f + f) + (f * c + c) + 2 * 2 * c
    tables = (vocabulary + (512 if arch in BERT_ARCHS else 1024) + 2) * c
    last_norm = embedding_norm = head_norm = 2 * c
    if arch in BERT_ARCHS:
        head = (c * c + c) + head_norm + vocabulary
        return tables + embedding_norm + sizes.layers * layer + head
    return tables + sizes.layers * layer + last_norm


@pytest.mark.parametrize("arch", ARCHS)
def test_parameters_and_structure_of_every_preset(arch, monkeypatch):
    monkeypatch.setattr(roberta, "init_bert_params", lambda module: None)  # needs real tensors
    with torch.device("meta"):
        model = models.build_model(Namespace(arch=arch, **TASK_FLAGS), task_with_vocabulary(500))
    assert sum(p.numel() for p in model.parameters()) == on_paper(arch, 500)
    stack = model.encoder.sentence_encoder if arch in BERT_ARCHS else model.decoder
    sizes = ARCHS[arch]
    assert len(stack.layers) == sizes.layers
    assert {layer.self_attn.num_heads for layer in stack.layers} == {sizes.heads}
    assert sizes.width % sizes.heads == 0
    assert {layer.normalize_before for layer in stack.layers} == {arch in GPT2_ARCHS}
    assert stack.embed_scale == 1


def test_every_architecture_is_tested():
    assert (len(BERT_ARCHS), len(GPT2_ARCHS)) == (7, 4)
    for arch in ARCHS:
        stock = "roberta" if arch in BERT_ARCHS else "transformer_lm"
        assert models.ARCH_MODEL_REGISTRY[arch] is STOCK[stock] is models.MODEL_REGISTRY[stock]


STATED = [
    ("roberta_student", 30_522, 25_642_810),
    ("roberta_student", 50_265, 35_770_969),
    ("roberta_10x512", 30_522, 47_709_498),
    ("roberta_10x512", 50_265, 57_837_657),
    ("roberta_6x512", 30_522, 35_099_962),
    ("roberta_6x512", 50_265, 45_228_121),
    ("roberta_6x256", 30_522, 12_781_114),
    ("roberta_6x256", 50_265, 17_855_065),
    ("roberta_6x128", 30_522, 5_209_786),
    ("roberta_6x128", 50_265, 7_756_633),
    ("transformer_lm_gpt2_teacher", 50_257, 354_825_216),
    ("transformer_lm_gpt2_student", 50_257, 67_738_368),
]


@pytest.mark.parametrize("arch,vocabulary,count", STATED)
def test_documentation_states_the_right_counts(arch, vocabulary, count):
    assert on_paper(arch, vocabulary) == count
    module = bert if arch in BERT_ARCHS else gpt2
    line = next(line for line in module.__doc__.splitlines() if line.strip().startswith(arch))
    assert f"{count:,}" in line and f"{vocabulary:,}" in module.__doc__


@pytest.mark.parametrize(
    "arch,vocabulary,millions",
    [
        ("roberta_student", 30_522, 25.6),
        ("transformer_lm_gpt2_student", 50_257, 67.7),
        ("transformer_lm_gpt2_teacher", 50_257, 355),
    ],
)
def test_the_sizes_of_the_paper(arch, vocabulary, millions):
    assert on_paper(arch, vocabulary) == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize(
    "teacher,student,ratios",
    [
        ("roberta_small", "roberta_tiny", {8192: "5.1", 4096: "6.5"}),
        ("transformer_lm_gpt2_mini", "transformer_lm_gpt2_micro", {8192: "5.7", 4096: "7.4"}),
    ],
)
def test_students_for_cpus_are_five_times_smaller(teacher, student, ratios):
    doc = (bert if teacher in BERT_ARCHS else gpt2).__doc__
    for vocabulary, stated in ratios.items():
        ratio = on_paper(teacher, vocabulary) / on_paper(student, vocabulary)
        assert ratio >= 5 and f"{ratio:.1f}" == stated
        assert f"{stated} times" in doc and f"at {vocabulary:,}" in doc


def test_the_stock_architecture_of_a_similar_name_is_not_gpt2():
    """As the module's documentation warns: sinusoidal positions, scaled, an output of its own."""
    arch = "transformer_lm_gpt2_small"
    with torch.device("meta"):
        model = models.build_model(Namespace(arch=arch, **TASK_FLAGS), task_with_vocabulary(500))
    decoder = model.decoder
    assert decoder.output_projection.weight is not decoder.embed_tokens.weight
    assert decoder.embed_scale == 32 and not list(decoder.embed_positions.parameters())
    count = sum(p.numel() for p in model.parameters()) + 2 * (50_257 - 500) * 1024
    assert f"{count:,}" in gpt2.__doc__


def normalized(x, state, name):
    return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def naive_gpt2(state, tokens, heads):
    """GPT-2 written down for one sentence `(T,)` without padding: logits `(T, V)`."""
    length = len(tokens)
    table, rows = state["embed_tokens.weight"], torch.arange(length) + 2  # 0, 1: never used
    x = table[tokens] + state["embed_positions.weight"][rows]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    for name in sorted({key.rsplit(".self_attn.")[0] for key in state if ".self_attn." in key}):
        y = normalized(x, state, f"{name}.self_attn_layer_norm")
        q, k, v = (
            linear(y, state, f"{name}.self_attn.{p}_proj").view(length, heads, -1).transpose(0, 1)
            for p in "qkv"
        )
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        mixed = scores.masked_fill(future, -math.inf).softmax(-1) @ v
        x = x + linear(mixed.transpose(0, 1).flatten(1), state, f"{name}.self_attn.out_proj")
        y = linear(normalized(x, state, f"{name}.final_layer_norm"), state, f"{name}.fc1")
        x = x + linear(functional.gelu(y), state, f"{name}.fc2")
    return normalized(x, state, "layer_norm") @ table.T


def test_it_computes_gpt2():
    torch.manual_seed(3)
    args = Namespace(arch="transformer_lm_gpt2_micro", **TASK_FLAGS)
    model = models.build_model(args, task_with_vocabulary(20)).double().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    tokens = torch.tensor([5, 6, 7, 8, 2, 9])
    state = {key.removeprefix("decoder."): value for key, value in model.state_dict().items()}
    expected = naive_gpt2(state, tokens, heads=4)
    torch.testing.assert_close(model(tokens[None])[0][0], expected, rtol=1e-5, atol=1e-5)
