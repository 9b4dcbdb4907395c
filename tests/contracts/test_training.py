"""Whole runs of fairseq-train on toy data: checkpoints, resuming, validation."""

import pytest
import torch
from fairseq import tasks

import toy
from cases import CASES
from lightpaff_fairseq.models.int8_weights import matrices_of, rounded_to_int8

BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
OPTIMIZER = ("--lr", 0.01, "--max-tokens", 60, "--update-epoch-batch-itr", True, "--seed", 3)
NEVER = ("--kd-on-policy", 1e-9)  # a share that chooses no update
DROPOUT = ("--dropout", 0.3)  # resuming has to restore the random state, too


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Data and a random teacher a case."""
    folders = {}
    for case in CASES:
        folder = tmp_path_factory.mktemp(case.name)
        cfg = toy.parse(*case.argv(case.data(folder / "data"), *OPTIMIZER, teacher=True))
        torch.manual_seed(5)
        model = tasks.setup_task(cfg.task).build_model(cfg.model)
        folders[case.name] = folder, toy.save_model(folder / "teacher.pt", cfg, model)
    return folders


def train(case, prepared, save_dir, *flags):
    folder, teacher = prepared[case.name]
    argv = case.argv(folder / "data", "--criterion", case.name, "--kd-teacher", teacher, *OPTIMIZER)
    toy.train(*argv, *DROPOUT, "--save-dir", save_dir, *flags)
    return toy.checkpoint(save_dir / "checkpoint_last.pt")


@BY_NAME
def test_resuming_inside_an_epoch_gives_the_bit_equal_next_update(prepared, case, tmp_path):
    straight = train(case, prepared, tmp_path / "a", "--max-update", 7)
    train(case, prepared, tmp_path / "b", "--max-update", 3, "--save-interval-updates", 3)
    resumed = train(case, prepared, tmp_path / "b", "--max-update", 7)
    assert straight["optimizer_history"][-1]["num_updates"] == 7
    for name, value in straight["model"].items():
        assert torch.equal(value, resumed["model"][name]), name


@pytest.mark.parametrize("name", ["kd_ss", "kd_lm"])
def test_on_policy_runs_resume_exactly_and_other_updates_are_plain(prepared, name, tmp_path):
    """Resumed where outputs of an earlier update are used again; two batches per update."""
    case, common = next(c for c in CASES if c.name == name), ("--update-freq", 2)
    args = ("--kd-on-policy-args", '{"sampling": true, "max_len_a": 0, "max_len_b": 6}')
    flags = (*common, "--kd-on-policy", 0.7, "--kd-on-policy-interval", 9, *args)
    straight = train(case, prepared, tmp_path / "a", "--max-update", 5, *flags)
    first = train(case, prepared, tmp_path / "b", "--max-update", 3, *flags)
    (state,) = first["extra_state"]["criterion_training_state"]
    assert state["generated_at"] == 0 and len(state["batches"]) == 2
    resumed = train(case, prepared, tmp_path / "b", "--max-update", 5, *flags)
    never = train(case, prepared, tmp_path / "c", "--max-update", 3, *common, *NEVER)
    plain = train(case, prepared, tmp_path / "d", "--max-update", 3, *common)
    assert "criterion_training_state" not in never["extra_state"]
    for one, other in ((straight, resumed), (never, plain)):
        for name, value in one["model"].items():
            assert torch.equal(value, other["model"][name]), name
    assert any(not torch.equal(value, plain["model"][n]) for n, value in first["model"].items())


def test_projections_are_trained_saved_and_resumed_but_not_the_students(prepared, tmp_path):
    case = next(c for c in CASES if c.name == "kd_ss")
    terms = ("--kd-hidden-weight", 1, "--kd-embedding-weight", 1, "--kd-relation-weight", 1)
    straight = train(case, prepared, tmp_path / "a", "--max-update", 5, *terms)
    first = train(case, prepared, tmp_path / "b", "--max-update", 2, *terms)
    resumed = train(case, prepared, tmp_path / "b", "--max-update", 5, *terms)
    assert len(straight["criterion"]) == 8  # weight and bias; a layer and a table; two modules
    for part in ("model", "criterion"):
        for name, value in straight[part].items():
            assert torch.equal(value, resumed[part][name]), name
    assert all(not torch.equal(first["criterion"][n], v) for n, v in straight["criterion"].items())
    teacher = toy.checkpoint(prepared["kd_ss"][1])["model"]
    assert straight["model"].keys() == {name for name in teacher if ".layers.1." not in name}


def test_a_stage_with_projections_starts_from_one_without_and_back(prepared, tmp_path):
    case = next(c for c in CASES if c.name == "kd_ss")
    terms = ("--kd-hidden-weight", 1)
    train(case, prepared, tmp_path / "plain", "--max-update", 2)
    start = ("--finetune-from-model", tmp_path / "plain" / "checkpoint_last.pt", "--max-update", 2)
    assert train(case, prepared, tmp_path / "with", *start, *terms)["criterion"]
    start = ("--finetune-from-model", tmp_path / "with" / "checkpoint_last.pt", "--max-update", 2)
    assert train(case, prepared, tmp_path / "again", *start)["criterion"] is None


def test_a_run_is_not_resumed_with_other_terms(prepared, tmp_path):
    case = next(c for c in CASES if c.name == "kd_ss")
    train(case, prepared, tmp_path, "--max-update", 1, "--kd-hidden-weight", 1)
    other = ("--kd-relation-weight", 1, "--kd-relation", "channel")
    with pytest.raises(ValueError, match="resuming with other --kd-... losses"):
        train(case, prepared, tmp_path, "--max-update", 2, *other)


def test_a_stage_may_start_with_a_teacher_of_another_width(prepared, tmp_path):
    case = next(c for c in CASES if c.name == "kd_ss")
    terms = ("--kd-hidden-weight", 1)
    train(case, prepared, tmp_path / "one", "--max-update", 1, *terms)
    folder, _ = prepared["kd_ss"]
    wide = ("--encoder-embed-dim", 24, "--decoder-embed-dim", 24)
    cfg = toy.parse(*case.argv(folder / "data", *OPTIMIZER, *wide, teacher=True))
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    wider = toy.save_model(tmp_path / "wider.pt", cfg, model)
    start = ("--finetune-from-model", tmp_path / "one" / "checkpoint_last.pt", "--max-update", 1)
    state = train(case, prepared, tmp_path / "two", *start, *terms, "--kd-teacher", wider)
    assert all(x.size(0) == 24 for x in state["criterion"].values())


@BY_NAME
def test_no_teacher_tensor_reaches_a_checkpoint(prepared, case, tmp_path):
    state = train(case, prepared, tmp_path, "--max-update", 2)
    folder, teacher = prepared[case.name]
    teacher_model = toy.checkpoint(teacher)["model"]
    assert state["criterion"] is None
    moments = [t for s in state["last_optimizer_state"]["state"].values() for t in s.values()]
    tensors = [*state["model"].values(), *(t for t in moments if isinstance(t, torch.Tensor))]
    weights = [t for t in teacher_model.values() if t.numel() > 64 and t.std() > 0]
    assert weights
    for tensor in tensors:
        assert not any(t.shape == tensor.shape and torch.equal(t, tensor) for t in weights)


def test_quantized_training_validates_rounded_weights_saves_float_ones_and_resumes(
    prepared, tmp_path, monkeypatch
):
    from fairseq.tasks.translation import TranslationTask

    def is_rounded(weight):
        return torch.allclose(weight, rounded_to_int8(weight), rtol=1e-6, atol=0)

    case = next(c for c in CASES if c.name == "kd_ss")
    validated, original = [], TranslationTask._inference_with_bleu

    def spy(self, generator, sample, model):
        validated.append(all(is_rounded(weight) for _, _, weight in matrices_of(model)))
        return original(self, generator, sample, model)

    monkeypatch.setattr(TranslationTask, "_inference_with_bleu", spy)
    bleu = ("--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 10}')
    flags = ("--quantize-weights", 8, "--update-freq", 2, "--store-ema")
    straight = train(case, prepared, tmp_path / "a", "--max-update", 4, *flags)
    train(case, prepared, tmp_path / "b", "--max-update", 2, *flags, *bleu)
    resumed = train(case, prepared, tmp_path / "b", "--max-update", 4, *flags)
    assert validated and all(validated)
    teacher = toy.checkpoint(prepared["kd_ss"][1])["model"]
    assert straight["model"].keys() == {name for name in teacher if ".layers.1." not in name}
    assert straight["criterion"] is None
    for name, value in straight["model"].items():
        assert torch.equal(value, resumed["model"][name]), name
        averages = [state["extra_state"]["ema"][name] for state in (straight, resumed)]
        assert torch.equal(*averages), name
        assert not (name.endswith("fc1.weight") and is_rounded(value)), name


def test_validation_bleu_is_the_students(prepared, tmp_path, monkeypatch):
    """Trap: a teacher built by the task would take over the generator of --eval-bleu."""
    from fairseq.tasks.translation import TranslationTask

    case = next(c for c in CASES if c.name == "kd_ss")
    decoders = []
    original = TranslationTask._inference_with_bleu

    def spy(self, generator, sample, model):
        decoders.append((generator.model.models[0], model))
        return original(self, generator, sample, model)

    monkeypatch.setattr(TranslationTask, "_inference_with_bleu", spy)
    bleu = ("--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 10}')
    train(case, prepared, tmp_path, "--max-update", 2, *bleu)
    assert decoders and all(used is student for used, student in decoders)
