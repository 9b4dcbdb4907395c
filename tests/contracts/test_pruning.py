"""Whole runs of the prunable tasks: target, scores, resuming, and what others make of them."""

import math

import pytest
import torch
from fairseq import checkpoint_utils, tasks
from fairseq.tasks import TASK_REGISTRY

import toy
from lightpaff_fairseq.checkpoints.state_dict import KEPT
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.criterions.distillation import DistillationMixin
from lightpaff_fairseq.tasks.pruning import PruningMixin
from pruning_runs import NAMES, PRUNE, Run, assert_equal, pruning

WHOLE = ("--max-update", 11)
# an epoch is one batch
ONE_BATCH = ("--max-tokens", 2000, "--batch-size", 64, "--required-batch-size-multiple", 1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    built = {}

    def get(name):
        if name not in built:
            built[name] = Run(name, tmp_path_factory.mktemp(name))
        return built[name]

    return get


def test_every_prunable_task_has_a_run(runs):
    found = [n for n, kind in TASK_REGISTRY.items() if issubclass(kind, PruningMixin)]
    assert sorted(found) == sorted(f"prunable_{runs(name).case.task[1]}" for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_ends_at_the_target_and_its_small_model_goes_on(name, runs, tmp_path):
    run = runs(name)
    state = run.train(tmp_path / "a", *PRUNE, *WHOLE, "--kd-hidden-weight", 1)
    stored = pruning(state)
    assert stored["is_finished"] and not stored["held"]
    for group, kept in stored["kept"].items():
        assert 2 * int(kept.sum()) == len(kept), group
    assert any(key.endswith(KEPT) for key in state["model"])
    small = tmp_path / "small.pt"
    path = tmp_path / "a" / "checkpoint_last.pt"
    assert main(["compact", "--path", str(path), "--out", str(small)]) == 0
    cfg = toy.checkpoint(small)["cfg"]["model"]
    sizes = [f"--{s}-{k.replace('_', '-')}" for s in run.case.sides for k in ("embed_dim",)]
    values = [x for flag in sizes for x in (flag, cfg[flag[2:].replace("-", "_")])]
    if "transformer_lm" in run.case.arch:
        values += ["--decoder-input-dim", 8, "--decoder-output-dim", 8, "--decoder-learned-pos"]
    values += [x for s in run.case.sides for x in (f"--{s}-ffn-embed-dim", 12)]
    more = ("--finetune-from-model", small, "--max-update", 2, *values)
    after = run.train(tmp_path / "b", *more, task=run.case.task)
    assert after["model"].keys() == toy.checkpoint(small)["model"].keys()


@pytest.mark.slow
def test_target_one_is_plain_distillation_bit_for_bit(runs, tmp_path):
    run = runs("kd_ss")
    flags = ("--prune-target-width", 1, "--prune-interval", 1)
    pruned = run.train(tmp_path / "a", *flags, *WHOLE)
    plain = run.train(tmp_path / "b", *WHOLE, task=run.case.task)
    assert_equal(pruned["model"], plain["model"])
    assert_equal(pruned["last_optimizer_state"], plain["last_optimizer_state"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "until"), [("sensitivity", 5), ("platon", 5), ("magnitude", 5), ("platon", 9)]
)
def test_resuming_is_bit_equal_to_the_undisturbed_run(kind, until, runs, tmp_path):
    run, flags = runs("kd_ss"), (*PRUNE, "--prune-importance", kind, "--dropout", 0.2)
    straight = run.train(tmp_path / "a", *flags, *WHOLE)
    stop = ("--max-update", 11, "--save-interval-updates", until)
    run.train(tmp_path / "b", *flags, *stop)
    (tmp_path / "b" / "checkpoint_last.pt").unlink()
    (half,) = (tmp_path / "b").glob(f"checkpoint_*_{until}.pt")
    half.rename(tmp_path / "b" / "checkpoint_last.pt")
    stored = pruning(toy.checkpoint(tmp_path / "b" / "checkpoint_last.pt"))
    assert bool(stored["held"]) == (until < 8)
    resumed = run.train(tmp_path / "b", *flags, *WHOLE)
    assert resumed["optimizer_history"][-1]["num_updates"] == 11
    assert_equal(straight["model"], resumed["model"])
    assert_equal(pruning(straight), pruning(resumed))


@pytest.mark.slow
def test_a_run_is_not_resumed_with_another_plan(runs, tmp_path):
    run = runs("kd_ss")
    run.train(tmp_path, *PRUNE, *WHOLE)
    others = {
        ("--prune-target-width", 0.25): "student",
        ("--prune-end", 9): "end 8 in the checkpoint, 9 here",
        ("--prune-importance", "platon"): "importance sensitivity in the checkpoint, platon here",
        ("--prune-interval", 3): "interval 2 in the checkpoint, 3 here",
    }
    for flags, words in others.items():
        with pytest.raises(ValueError, match=f"resuming with other --prune-.*{words}"):
            run.train(tmp_path, *PRUNE, *flags, "--max-update", 13)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--finetune-from-model", "--restore-file"])
def test_a_masked_model_is_no_start(flag, runs, tmp_path):
    run = runs("kd_ss")
    run.train(tmp_path / "a", *PRUNE, "--max-update", 8)
    masked = tmp_path / "a" / "checkpoint_last.pt"
    argv = [*run.argv(*PRUNE, *WHOLE, "--save-dir", tmp_path / "b")]
    place = argv.index("--finetune-from-model")
    more = ["--reset-dataloader"] if flag == "--restore-file" else []
    argv[place : place + 2] = [flag, masked, *more]
    with pytest.raises(ValueError, match="pruned already.*lightpaff compact"):
        toy.train(*argv)
    argv[1:3] = run.case.task[:2]
    first, last = (argv.index(x) for x in (PRUNE[0], "--max-update"))
    del argv[first:last]
    with pytest.raises(ValueError, match="masked model of a prunable task.*lightpaff compact"):
        toy.train(*argv)


def test_a_student_of_another_shape_than_its_teacher_is_refused(runs, tmp_path):
    run = runs("kd_ss")
    with pytest.raises(ValueError, match="fc1.weight is .24, 16. in the checkpoint, .28, 16. here"):
        run.train(tmp_path, *PRUNE, *WHOLE, "--encoder-ffn-embed-dim", 28)


def test_a_random_start_is_pointed_out(runs, caplog):
    argv = list(runs("kd_ss").argv(*PRUNE, *WHOLE))
    toy.build(*argv)
    assert "no --finetune-from-model" not in caplog.text
    place = argv.index("--finetune-from-model")
    del argv[place : place + 2]
    toy.build(*argv)
    assert "no --finetune-from-model" in caplog.text


def test_the_masked_model_generates_with_its_task_and_is_refused_by_the_stock_one(runs, tmp_path):
    run = runs("kd_ss")
    run.train(tmp_path, *PRUNE, "--max-update", 9)
    path, small = str(tmp_path / "checkpoint_last.pt"), str(tmp_path / "small.pt")
    assert main(["compact", "--path", path, "--out", small]) == 0
    load = checkpoint_utils.load_model_ensemble_and_task
    (masked,), _, task = load([path])
    (compact,), cfg, _ = load([small])
    task.load_dataset("test")
    sample = toy.batch(task, range(9), "test")
    args = toy.parse(run.data, "--task", "translation", *run.model).generation
    outputs = []
    for model in (masked.eval(), compact.eval()):
        generator = task.build_generator([model], args)
        outputs.append(task.inference_step(generator, [model], sample))
    for hypotheses in zip(*outputs):
        texts = [[x["tokens"].tolist() for x in ranked] for ranked in hypotheses]
        assert texts[0] == texts[1]
        for x, y in zip(*hypotheses):
            assert float(x["score"]) == pytest.approx(float(y["score"]), abs=1e-4)
    stock = tasks.setup_task(cfg.task)
    with pytest.raises(RuntimeError, match=KEPT):
        load([path], task=stock)


def test_validation_is_that_of_the_masked_model(runs, tmp_path):
    run = runs("kd_ss")
    run.train(tmp_path, *PRUNE, *WHOLE, "--save-interval-updates", 5)
    (path,) = tmp_path.glob("checkpoint_*_5.pt")
    state = toy.checkpoint(path)
    kept = pruning(state)["kept"]["encoder.0.ffn"]
    assert 12 < kept.sum() < 24
    logged = state["extra_state"]["val_loss"]
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)])
    assert model.encoder.layers[0].fc1.weight[~kept].abs().sum() == 0
    task.load_dataset("valid")
    sample = toy.batch(task, range(len(task.dataset("valid"))), "valid")
    criterion = toy.build(*run.argv(*PRUNE, *WHOLE))[2].eval()
    loss, size, _ = criterion(model.eval(), sample)
    assert loss.item() / size / math.log(2) == pytest.approx(logged, abs=2e-3)


def naive_importance(run, updates, decay):
    """Return the moving average of sum |weight * gradient| per unit, from float64 autograd."""
    task, model, _ = toy.build(*run.argv(*PRUNE, *WHOLE))
    model.load_state_dict(toy.checkpoint(run.teacher)["model"])
    sample = toy.batch(task, range(len(task.dataset("train"))))
    model = model.double().train()
    criterion = toy.build(*run.argv(task=run.case.task))[2].train()
    loss, _, _ = super(DistillationMixin, criterion).forward(model, sample)  # the stock one
    loss.backward()
    groups = task.pruner.plan.groups
    found = {g: torch.zeros(n, dtype=torch.float64) for g, n in groups.sizes.items()}
    for key, p in model.named_parameters():
        for axis, group in enumerate(groups.axes[key]):
            if group:
                for unit in range(p.shape[axis]):
                    product = p.select(axis, unit) * p.grad.select(axis, unit)
                    found[group][unit] += product.detach().abs().sum()
    return {g: x / x.mean() * (1 - decay**updates) for g, x in found.items()}


SPLITS = {
    "plain": (),
    "clipped": ("--clip-norm", 1e-3),
    "in four parts": ("--batch-size", 10, "--update-freq", 4),
    "fp16": ("--fp16", "--fp16-no-flatten-grads", "--fp16-init-scale", 8),
    "fp16, scale, clipped": ("--fp16", "--fp16-no-flatten-grads", "--fp16-init-scale", 128)
    + ("--clip-norm", 1e-2),
    "fp16, saving memory": ("--memory-efficient-fp16", "--fp16-init-scale", 32),
}


@pytest.mark.parametrize("name", SPLITS)
def test_importance_is_that_of_true_gradients(name, runs, tmp_path):
    """Neither clipping nor accumulation nor a loss scale changes it; nothing moves (lr 0)."""
    run = runs("kd_ss")
    flags = ("--kd-lambda", 0, "--lr", 0, *ONE_BATCH, *SPLITS[name])
    late = ("--prune-target-width", 0.5, "--prune-multiple", 4, "--prune-interval", 1)
    late += ("--prune-start", 3, "--prune-end", 3)
    state = run.train(tmp_path, *flags, *late, "--max-update", 3, "--disable-validation")
    found, wanted = pruning(state)["mean"], naive_importance(run, 3, 0.85)
    assert found.keys() == wanted.keys()
    tolerance = 0.03 if "fp16" in name else 1e-4
    for group, value in wanted.items():
        assert (found[group] - value).abs().max() <= tolerance * value.max(), group


@pytest.mark.parametrize("precision", ["--fp16 --fp16-no-flatten-grads", "--memory-efficient-fp16"])
def test_float16_masters_and_models_are_masked(precision, runs, tmp_path):
    run = runs("kd_ss")
    half = (*precision.split(), "--fp16-init-scale", 4)
    state = run.train(tmp_path, *PRUNE, *WHOLE, *half, "--disable-validation")
    stored = pruning(state)
    assert stored["is_finished"]
    gone = ~stored["kept"]["encoder.0.ffn"]
    weights = state["model"]["encoder.layers.0.fc1.weight"]
    assert weights[gone].abs().sum() == 0 and weights[~gone].abs().sum(1).min() > 0
    assert torch.equal(weights, weights.half().float())
    path, out = tmp_path / "checkpoint_last.pt", tmp_path / "small.pt"
    assert main(["compact", "--path", str(path), "--out", str(out)]) == 0
