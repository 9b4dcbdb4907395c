"""Checkpoints in the form of the released models are taken wherever today's are."""

import argparse
import types

import pytest
import torch
from fairseq import tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

import toy
from lightpaff_fairseq.checkpoints.legacy import upgrade_checkpoint
from lightpaff_fairseq.checkpoints.reading import read_checkpoint
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.teachers.loading import load_teacher
from old_checkpoints import old_args, save_old


def sizes(*sides):
    values = {"layers": 2, "embed-dim": 16, "ffn-embed-dim": 32, "attention-heads": 2}
    return tuple(word for s in sides for k, v in values.items() for word in (f"--{s}-{k}", v))


HEAD = "sentence_classification_head"
BLOCKS = ("--tokens-per-sample", 40, "--sample-break-mode", "eos")
LANGUAGES = ("--source-lang", "sv", "--target-lang", "en", "--share-decoder-input-output-embed")
FAMILIES = {
    "masked_lm": (toy.write_monolingual, "roberta_base", sizes("encoder"), BLOCKS),
    "language_modeling": (toy.write_monolingual, "transformer_lm_gpt", sizes("decoder"), BLOCKS),
    "translation": (toy.write_parallel, "transformer", sizes("encoder", "decoder"), LANGUAGES),
    "sentence_prediction": (
        toy.write_labeled,
        "roberta_base",
        (*sizes("encoder"), "--max-positions", 40),
        ("--num-classes", 3, "--init-token", 0, "--criterion", "sentence_prediction"),
    ),
}
PRUNABLE = {"masked_lm": "kd_mlm", "language_modeling": "kd_lm", "translation": "kd_ss"}
PRUNABLE |= {"sentence_prediction": "kd_lu"}


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory):
    """task, flags, model, the checkpoint as today's, and as the released ones."""
    folder = tmp_path_factory.mktemp(request.param)
    write, arch, shape, flags = FAMILIES[request.param]
    argv = (write(folder / "data"), "--task", request.param, "--arch", arch, *shape, *flags)
    argv = (*argv, "--dropout", 0, "--max-tokens", 400)
    cfg = toy.parse(*argv)
    torch.manual_seed(1)
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    new = toy.save_model(folder / "new.pt", cfg, model)
    old = save_old(folder / "old.pt", argv, model)
    return types.SimpleNamespace(task=request.param, argv=argv, model=model, new=new, old=old)


@pytest.mark.slow
def test_tensors_get_todays_names(pair):
    stored = toy.checkpoint(pair.old)
    assert stored["model"].keys() != pair.model.state_dict().keys() and "cfg" not in stored
    found, want = read_checkpoint(pair.old, "--path")["model"], pair.model.state_dict()
    assert found.keys() == want.keys()
    assert all(torch.equal(found[name], want[name]) for name in want)


@pytest.mark.slow
def test_the_teacher_is_the_same(pair):
    task = tasks.setup_task(toy.parse(*pair.argv).task)
    task.load_dataset("train")
    inputs = toy.batch(task, range(3))["net_input"]
    if pair.task == "sentence_prediction":
        inputs |= {
            "features_only": True,
            "classification_head_name": "sentence_classification_head",
        }
    old, new = (load_teacher(str(path), task)(**inputs)[0] for path in (pair.old, pair.new))
    assert torch.equal(old, new)


@pytest.mark.slow
def test_it_is_planned_for_and_pruned(pair, tmp_path, capsys):
    printed = []
    for path in (pair.old, pair.new):
        assert main(["prune-plan", "--path", str(path), "--target-width", "0.5"]) == 0
        printed.append(capsys.readouterr().out.replace(str(path), "PATH"))
    assert printed[0] == printed[1]
    argv = list(pair.argv)
    argv[argv.index("--task") + 1] = f"prunable_{pair.task}"
    target = ("--prune-target-width", 0.5, "--prune-start", 2, "--prune-end", 3)
    teacher = ("--criterion", PRUNABLE[pair.task], "--kd-teacher", pair.old)
    start = ("--finetune-from-model", pair.old, "--prune-interval", 1, "--max-update", 3)
    quiet = ("--disable-validation", "--save-dir", tmp_path, "--lr", 0.001)
    toy.train(*argv, *target, *teacher, *start, *quiet)
    last = str(tmp_path / "checkpoint_last.pt")
    assert main(["compact", "--path", last, "--out", str(tmp_path / "small.pt")]) == 0


def test_a_model_that_needs_its_task_is_left_alone():
    tensors = {"layer.in_proj_weight": torch.ones(3)}
    cfg = types.SimpleNamespace(model=argparse.Namespace(arch="wav2vec"))
    state = {"args": argparse.Namespace(), "cfg": cfg, "model": tensors}
    upgrade_checkpoint(state)
    assert state["model"] is tensors


@pytest.mark.slow
@pytest.mark.parametrize("said", [None, True, False])
def test_flags_that_came_later_have_their_default(said, tmp_path):
    """bool("${common.use_plasma_view}") is True."""
    data = toy.write_monolingual(tmp_path)
    args = old_args([data, "--task", "language_modeling", "--arch", "transformer_lm_gpt", *BLOCKS])
    if said is not None:
        args.use_plasma_view = said
    task = convert_namespace_to_omegaconf(args).task
    assert task.use_plasma_view is bool(said)


def without_tables(state):
    state["model"] = {k: v for k, v in state["model"].items() if "embed_tokens" not in k}


def without_a_weight(state):
    del state["model"]["encoder.layers.0.fc1.weight"]


def of_another_plugin(state):
    state["args"].arch = "no_such_arch"


def with_odd_heads(state):
    state["args"].encoder_attention_heads = 3


LACKS = "missing: encoder.layers.0.fc1.weight"
BROKEN = [  # what is said by prune-plan, which needs no dictionaries, and by convert
    (without_tables, "tables of embeddings, got none", "decoder.embed_tokens.weight"),
    (without_a_weight, "the checkpoint lacks encoder.layers.0.fc1.weight", LACKS),
    (of_another_plugin, *["'no_such_arch' is missing or unknown"] * 2),
    (with_odd_heads, *["embed_dim must be divisible by num_heads"] * 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("break_it", "planning", "converting"), BROKEN)
def test_a_broken_one_is_one_sentence(tmp_path, capsys, break_it, planning, converting):
    pytest.importorskip("transformers")
    write, arch, shape, flags = FAMILIES["translation"]
    argv = (write(tmp_path / "data"), "--task", "translation", "--arch", arch, *shape, *flags)
    cfg = toy.parse(*argv)
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    path = save_old(tmp_path / "old.pt", argv, model)
    state = toy.checkpoint(path)
    break_it(state)
    torch.save(state, path)
    before = sorted(tmp_path.iterdir())
    target = ("--to", "hf", tmp_path / "out", "--data", argv[0])
    for words, command in (
        (planning, ("prune-plan", "--path", path, "--target-width", 0.5)),
        (converting, ("convert", "--from", "fairseq", path, *target)),
    ):
        assert main([str(x) for x in command]) == 2
        error = capsys.readouterr().err
        assert str(path) in error and words in error and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
