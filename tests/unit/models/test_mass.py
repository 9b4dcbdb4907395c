"""The MASS model is the stock transformer plus positions; presets have the sizes they state."""

import copy
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq import models, tasks, utils
from fairseq.models.transformer import TransformerModel
from omegaconf import OmegaConf

import toy
from lightpaff_fairseq.models import presets
from lightpaff_fairseq.models.mass import MassModel
from lightpaff_fairseq.models.presets import PRESETS
from vocabularies import task_with_vocabulary

PAD = 1
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


def build(arch: str, vocabulary: int = 20, seed: int = 5, **values):
    torch.manual_seed(seed)
    args = Namespace(arch=arch, **NO_DROPOUT, **values)
    return models.build_model(args, task_with_vocabulary(vocabulary))


def example() -> dict[str, torch.Tensor]:
    """Two sources, padded on the left, and two targets, padded on the right."""
    return {
        "src_tokens": torch.tensor([[5, 6, 7, 8, 2], [PAD, PAD, 9, 4, 2]]),
        "src_lengths": torch.tensor([5, 3]),
        "prev_output_tokens": torch.tensor([[2, 5, 6, 7], [2, 9, PAD, PAD]]),
    }


@pytest.fixture
def pair():
    """`mass_tiny` and the stock transformer of the same sizes, built from the same seed."""
    return build("mass_tiny"), build("transformer_mass_tiny")


def test_registries_hold_the_classes_and_import_by_fairseq_changes_nothing():
    folder = Path(presets.__file__).parent
    models.import_models(str(folder), "lightpaff_fairseq.models")  # as --user-dir does
    assert models.MODEL_REGISTRY["mass"] is MassModel
    assert len(PRESETS) == 10
    for name in PRESETS:
        assert models.ARCH_MODEL_REGISTRY[f"mass_{name}"] is MassModel
        assert models.ARCH_MODEL_REGISTRY[f"transformer_mass_{name}"] is TransformerModel


def expected_parameters(
    vocabulary: int, layers: tuple[int, int], width: int, ffn: int, tables: int
) -> int:
    """Count on paper every linear map with its bias, every LayerNorm with scale and shift."""
    attention, norm = 4 * (width * width + width), 2 * width
    feed_forward = (width * ffn + ffn) + (ffn * width + width)
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    positions = (1024 + 2) * width  # 1024 and the rows up to the padding index
    stacks = layers[0] * encoder_layer + layers[1] * decoder_layer
    return tables * vocabulary * width + stacks + 2 * (positions + norm)


@pytest.mark.parametrize("prefix", ["mass", "transformer_mass"])
@pytest.mark.parametrize(
    "name,layers,width,ffn,heads,tables",
    [
        ("base", (6, 6), 768, 3072, 12, 1),
        ("middle", (6, 6), 1024, 4096, 16, 1),
        ("teacher", (6, 6), 1024, 4096, 16, 2),
        ("student", (4, 4), 384, 1536, 6, 2),
        ("small", (3, 3), 256, 1024, 4, 1),
        ("tiny", (2, 2), 96, 384, 4, 1),
        ("6_2x256", (6, 2), 256, 1024, 4, 1),
        ("6_2x384", (6, 2), 384, 1536, 6, 1),
        ("6_4x384", (6, 4), 384, 1536, 6, 1),
        ("12_1x512", (12, 1), 512, 2048, 8, 1),
    ],
)
def test_parameters_of_every_preset(prefix, name, layers, width, ffn, heads, tables):
    with torch.device("meta"):
        model = build(f"{prefix}_{name}", vocabulary=500)
    count = sum(p.numel() for p in model.parameters())
    assert count == expected_parameters(500, layers, width, ffn, tables)
    for stack, depth in zip((model.encoder, model.decoder), layers, strict=True):
        assert len(stack.layers) == depth
        assert {layer.self_attn.num_heads for layer in stack.layers} == {heads}
        assert not any(layer.normalize_before for layer in stack.layers)


@pytest.mark.parametrize("vocabulary", [60_000, 64_700])
@pytest.mark.parametrize(
    "sizes", [((6, 6), 1024, 4096), ((4, 4), 384, 1536)], ids=["teacher", "student"]
)
def test_reconstructed_sizes_are_those_the_documentation_states(vocabulary, sizes):
    count = expected_parameters(vocabulary, *sizes, tables=2)
    assert f"{count:,}" in presets.__doc__ and f"{vocabulary:,}" in presets.__doc__


def test_same_seed_gives_the_stock_initialisation(pair):
    mass, stock = (model.state_dict() for model in pair)
    assert list(mass) == list(stock)
    assert all(torch.equal(mass[key], stock[key]) for key in stock)


@pytest.mark.parametrize("counted", [False, True], ids=["no positions", "counted positions"])
def test_without_positions_it_is_the_stock_model_bit_for_bit(pair, counted):
    mass, stock = pair
    net_input = example()
    positions = utils.make_positions(net_input["prev_output_tokens"], PAD) if counted else None
    outputs = mass(**net_input, positions=positions), stock(**net_input)
    (logits, extra), (stock_logits, stock_extra) = outputs
    assert torch.equal(logits, stock_logits)
    assert torch.equal(extra["attn"][0], stock_extra["attn"][0])
    logits.logsumexp(-1).sum().backward()
    stock_logits.logsumexp(-1).sum().backward()
    for (name, a), b in zip(mass.named_parameters(), stock.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name


def test_positions_choose_the_rows_of_the_table(pair):
    """Reference: one stock model per row, its table rearranged so that counting gives the rows."""
    mass, stock = pair
    net_input = example()
    positions = torch.tensor([[9, 10, 11, 30], [4, 5, PAD, PAD]])
    logits = mass(**net_input, positions=positions)[0]
    for row, length in ((0, 4), (1, 2)):
        reference = copy.deepcopy(stock)
        table = reference.decoder.embed_positions.weight.data
        table[PAD + 1 : PAD + 1 + length] = table[positions[row, :length]].clone()
        expected = reference(**net_input)[0]
        torch.testing.assert_close(logits[row, :length], expected[row, :length])
    assert not torch.allclose(logits[0], stock(**net_input)[0][0])


def test_positions_receive_gradients_and_padding_does_not(pair):
    mass, _ = pair
    positions = torch.tensor([[9, 10, 11, 30], [4, 5, PAD, PAD]])
    mass(**example(), positions=positions)[0][:, :2].logsumexp(-1).sum().backward()
    moved = mass.decoder.embed_positions.weight.grad.abs().sum(-1).nonzero().flatten().tolist()
    assert moved == [4, 5, 9, 10]


def test_features_only_gives_the_input_of_the_output_layer(pair):
    mass, _ = pair
    given = {**example(), "positions": torch.tensor([[9, 10, 11, 12], [4, 5, PAD, PAD]])}
    features = mass(**given, features_only=True)[0]
    assert features.shape == (2, 4, 96)
    assert torch.equal(mass.decoder.output_layer(features), mass(**given)[0])


def test_positions_are_forgotten_after_a_call_and_after_an_error(pair):
    (mass, stock), net_input = pair, example()
    mass(**net_input, positions=torch.full((2, 4), 40))
    assert torch.equal(mass(**net_input)[0], stock(**net_input)[0])
    with pytest.raises(ValueError, match=r"positions: expected .* \(2, 4\), got \(2, 3\)"):
        mass(**net_input, positions=torch.full((2, 3), 40))
    assert torch.equal(mass(**net_input)[0], stock(**net_input)[0])


@pytest.mark.parametrize(
    "values,got",
    [
        ({"decoder_learned_pos": False}, "SinusoidalPositionalEmbedding"),
        ({"no_token_positional_embeddings": True}, "none"),
    ],
)
def test_positions_that_are_not_learned_are_refused(values, got):
    with pytest.raises(ValueError, match=f"learned positions.*got {got}"):
        build("mass_tiny", **values)


def parsed(folder: Path, arch: str, *flags):
    """(configuration, task) of fairseq-train for toy data of the arch's stage."""
    if arch.startswith("mass"):
        data = toy.write_monolingual(folder / "mono", count=3)
        kind = ("--task", "masked_seq2seq", "--tokens-per-sample", 32)
    else:
        data, kind = toy.write_parallel(folder / "pair", count=3), ("--task", "translation")
    cfg = toy.parse(data, *kind, "--arch", arch, *flags)
    return cfg, tasks.setup_task(cfg.task)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "student"])
def test_pretrained_weights_fit_the_fine_tuning_architecture(tmp_path, preset):
    sizes = ("--max-source-positions", 64, "--max-target-positions", 48)
    if preset == "student":
        sizes += ("--encoder-embed-dim", 24, "--encoder-layers", 1)
    states = {}
    for arch in (f"mass_{preset}", f"transformer_mass_{preset}"):
        cfg, task = parsed(tmp_path, arch, *sizes)
        assert task.max_positions() == (64, 48)
        model = task.build_model(cfg.model)
        assert model.encoder.embed_positions.num_embeddings == 64 + 2
        assert model.decoder.embed_positions.num_embeddings == 48 + 2
        assert model.max_positions() == (64, 48)
        states[arch] = model.state_dict()
    model.load_state_dict(states[f"mass_{preset}"], strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_a_fine_tuned_checkpoint_is_a_stock_transformer(tmp_path, monkeypatch, preset):
    """Without this plug-in's architectures in the registry the recorded values build it."""
    cfg, task = parsed(tmp_path, f"transformer_mass_{preset}")
    assert cfg.model.arch == cfg.model._name == "transformer"
    assert not [value for value in vars(cfg.model).values() if "transformer_mass" in str(value)]
    for name in [arch for arch in models.ARCH_MODEL_REGISTRY if "mass" in arch]:
        monkeypatch.delitem(models.ARCH_MODEL_REGISTRY, name)
        monkeypatch.delitem(models.ARCH_CONFIG_REGISTRY, name)
    sizes = PRESETS[preset]
    with torch.device("meta"):
        model = models.build_model(copy.deepcopy(cfg.model), task)
    assert type(model) is TransformerModel
    tables = 1 if sizes.share_all else 2
    layers = sizes.layers, sizes.decoder_layers or sizes.layers
    expected = expected_parameters(
        len(task.source_dictionary), layers, sizes.width, sizes.ffn, tables
    )
    assert sum(p.numel() for p in model.parameters()) == expected
    assert model.decoder.layers[0].dropout_module.p == 0.1
    assert model.decoder.layers[0].self_attn.dropout_module.p == 0.1
    assert model.decoder.layers[0].activation_fn is utils.get_activation_fn("gelu")


def test_a_pretraining_checkpoint_keeps_the_name_of_its_architecture(tmp_path):
    cfg, _ = parsed(tmp_path, "mass_tiny")
    assert cfg.model.arch == cfg.model._name == "mass_tiny"
    assert cfg.model.encoder_layers == 2 and cfg.model.max_target_positions == 1024


def test_flags_override_a_preset_and_the_decoder_follows(tmp_path):
    cfg, _ = parsed(tmp_path, "mass_small", "--encoder-embed-dim", 64, "--decoder-layers", 1)
    sizes = (cfg.model.decoder_embed_dim, cfg.model.encoder_layers, cfg.model.decoder_layers)
    assert sizes == (64, 3, 1)


def test_hydra_configuration_builds_the_same_model():
    cfg = OmegaConf.create({"_name": "transformer_mass_tiny", "dropout": 0.3})
    OmegaConf.set_struct(cfg, True)
    model = models.build_model(cfg, task_with_vocabulary(20))
    assert cfg._name == cfg.arch == "transformer" and model.decoder.dropout_module.p == 0.3
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in build("mass_tiny").state_dict().items()
    }
