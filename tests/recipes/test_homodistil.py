"""examples/homodistil: a recipe's teacher is pruned, compacted and fine-tuned."""

import pytest
from conftest import stubbed

from lightpaff_fairseq.cli.main import build_parser
from lightpaff_fairseq.tasks.pruning import method_of
from recording import RECIPE, distillations, evaluation, of, trainings

RECIPES = {
    "sentence_polarity": ("masked_lm", "roberta_small"),
    "wikitext2": ("language_modeling", "transformer_lm_gpt2_mini"),
    "dialogsum": ("masked_seq2seq", "mass_small"),
    RECIPE.name: ("masked_seq2seq", "mass_small"),
}


def run(folder, name, **variables):
    recipe = stubbed(folder, name)
    task, arch = RECIPES.get(name, ("masked_lm", "roberta_base"))
    only = {"masked_lm": ["encoder"], "language_modeling": ["decoder"]}
    sides = only.get(task, ["encoder", "decoder"])
    sizes = " ".join(f"--{side}-embed-dim 80 --{side}-ffn-embed-dim 320" for side in sides)
    done = recipe.run("../homodistil/run.sh", RECIPE=name, SMALL=f"{arch} {sizes}", **variables)
    assert done.returncode == 0, done.stderr + done.stdout
    return recipe, recipe.calls()


@pytest.mark.parametrize("name", RECIPES)
def test_the_teacher_is_pruned_compacted_and_fine_tuned(name, tmp_path):
    recipe, calls = run(tmp_path, name, IMPORTANCES="sensitivity platon")
    task, _ = RECIPES[name]
    runs, rows = trainings(calls), distillations(calls)
    for kind in ("sensitivity", "platon"):
        cfg = runs[f"pruned_{kind}"]
        start = f"{recipe.out}/teacher_pretrained.pt"
        assert cfg.task._name == f"prunable_{task}"
        assert cfg.checkpoint.finetune_from_model == cfg.criterion.kd_teacher == start
        assert cfg.criterion.kd_hidden_weight > 0 and cfg.criterion.kd_embedding_weight > 0
        method = method_of(cfg.task)
        assert method.importance == kind
        assert 0 < method.schedule.start < method.schedule.end < cfg.optimization.max_update
        assert cfg.dataset.validate_after_updates == method.schedule.end
        after = rows[f"pruned_{kind}_kd"]
        assert after.init == f"{recipe.out}/pruned_{kind}.pt" and after.smaller is None
        assert after.teacher == recipe.out / "teacher.pt" and after.text is None
    finished = [
        build_parser().parse_args(["compact", *a]) for a in of(calls, "lightpaff", "compact")
    ]
    assert [x.out.stem for x in finished] == ["pruned_sensitivity", "pruned_platon"]
    assert evaluation(calls).name == ["teacher", "pruned, sensitivity", "pruned, platon"]


@pytest.mark.parametrize("name", RECIPES)
def test_one_go_is_trained_alike(name, tmp_path):
    recipe, calls = run(tmp_path, name, IMPORTANCES="sensitivity oneshot", SEEDS="1 2")
    task, arch = RECIPES[name]
    (argv,) = of(calls, "lightpaff", "init-student")
    made, _ = build_parser().parse_known_args(["init-student", *argv])
    assert made.teacher.name == "teacher_pretrained.pt" and made.arch == arch
    assert made.width_by == "importance" and "80" in argv
    runs, rows = trainings(calls), distillations(calls)
    for suffix, seed in (("", 1), ("_seed2", 2)):
        slow, once = (runs[f"pruned_{kind}{suffix}"] for kind in ("sensitivity", "oneshot"))
        assert once.task._name == task and once.checkpoint.finetune_from_model == str(made.out)
        assert once.criterion.kd_teacher == slow.criterion.kd_teacher == str(made.teacher)
        assert once.common.seed == slow.common.seed == seed
        assert once.optimization == slow.optimization
        after = rows[f"pruned_oneshot_kd{suffix}"]
        assert after.init == f"{recipe.out}/pruned_oneshot{suffix}.pt" and after.seed == seed
    names = ("pruned, sensitivity", "pruned, oneshot")
    seeds = [f"{name}{seed}" for name in names for seed in ("", ", seed 2")]
    assert evaluation(calls).name == ["teacher", *seeds]


def test_the_papers_other_sizes(tmp_path):
    target = {"PRUNE_TARGET": "--prune-target-params 65M", "PRUNE_LR": "3e-4"}
    _, calls = run(tmp_path, "sst2", SCALE="paper", **target)
    cfg = trainings(calls)["pruned_sensitivity"]
    assert cfg.task.prune_target_params == "65M" and cfg.optimization.lr == [3e-4]
    assert cfg.optimization.max_update == 28000


def test_values_of_several_words_reach_every_step(tmp_path):
    words = {"PRUNE_TARGET": "--prune-target-width 0.5 --prune-multiple 4", "PRUNE_FLAGS": "--fp16"}
    words |= {"IMPORTANCES": "sensitivity oneshot"}
    words |= {"TEACHER_PRETRAIN": "--max-update 9 --lr 1 --batch-size 3 --update-freq 5"}
    _, calls = run(tmp_path, "sentence_polarity", **words)
    runs = trainings(calls)
    pruning = runs["pruned_sensitivity"]
    assert pruning.task.prune_target_width == 0.5 and pruning.task.prune_target_params is None
    assert pruning.task.prune_multiple == 4 and pruning.common.fp16
    (argv,) = of(calls, "lightpaff", "prune-plan")
    plan = build_parser().parse_args(["prune-plan", *argv])
    assert plan.target_width == 0.5 and plan.target_params is None and plan.multiple == 4
    for cfg in (pruning, runs["teacher_pretrained"]):
        assert cfg.dataset.batch_size == 3 and cfg.optimization.update_freq == [5]


def test_the_papers_scale(tmp_path):
    _, calls = run(tmp_path, "sst2", SCALE="paper")
    cfg = trainings(calls)["pruned_sensitivity"]
    assert cfg.optimization.max_update == 28000 and cfg.task.tokens_per_sample == 128
    assert cfg.dataset.batch_size * cfg.optimization.update_freq[0] * 8 == 4096
    assert cfg.task.prune_target_params == "17.3M" and cfg.optimization.lr == [6e-4]
    assert cfg.optimizer.adam_betas == "(0.9,0.999)"
