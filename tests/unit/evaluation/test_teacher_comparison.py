"""`lightpaff evaluate --teacher`: figures against formulas over complete distributions."""

import pytest
import torch

from evaluated import LM, checkpoint
from lightpaff_fairseq.evaluation import teacher_comparison
from lightpaff_fairseq.evaluation.agreement import Agreement, Calibration
from lightpaff_fairseq.evaluation.evaluation_request import EvaluationRequest
from lightpaff_fairseq.evaluation.model_rows import Evaluation, ModelFile
from toy import batch, build, write_dictionary, write_labeled, write_monolingual, write_parallel

SMALL = ("--encoder-layers", 1, "--decoder-layers", 1, "--encoder-embed-dim", 8,
         "--decoder-embed-dim", 8, "--encoder-ffn-embed-dim", 8,
         "--decoder-ffn-embed-dim", 8)  # fmt: skip
PAIR = ("--task", "translation", "--arch", "transformer", *SMALL)
ROBERTA = ("--task", "sentence_prediction", "--criterion", "sentence_prediction", "--arch",
           "roberta", "--num-classes", 3, "--encoder-layers", 1, "--encoder-embed-dim", 8,
           "--encoder-ffn-embed-dim", 8, "--encoder-attention-heads", 2,
           "--max-positions", 32)  # fmt: skip
HEAD = {"features_only": True, "classification_head_name": "sentence_classification_head"}


def naive(p_s, p_t, target):
    """The figures from probabilities `(N, V)`, position by position."""
    count = len(target)
    bins = [[] for _ in range(15)]
    for p, label in zip(p_s, target, strict=True):
        top = float(p.max())
        number = next(i for i in range(15) if top <= (i + 1) / 15)
        bins[number].append((top, float(p.argmax() == label)))
    gaps = [abs(sum(c for c, _ in x) - sum(r for _, r in x)) for x in bins]
    return {
        "draft_acceptance": 100 * float(torch.minimum(p_s, p_t).sum()) / count,
        "argmax_agreement": 100 * float((p_s.argmax(-1) == p_t.argmax(-1)).sum()) / count,
        "ece": 100 * sum(gaps) / count,
        "kl_bits": float((p_t * (p_t.log2() - p_s.log2())).sum()) / count,
    }


def compare(data, task, path, teacher, **more):
    """Run the comparison alone, without fairseq's command."""
    more = {"subset": "valid", **more}
    request = EvaluationRequest(data, [path], task=task, teacher=teacher, **more)
    comparison = teacher_comparison.TeacherComparison(request)
    return comparison.add_to(Evaluation([{}], (), []), [ModelFile("s", path, "s", path.parent)])


@torch.no_grad()
def distributions(data, flags, models):
    """Probabilities `(N, V)` of every model at all labels of the split, and the labels."""
    task, _, _ = build(data, *flags)
    task.load_dataset("valid")
    sample = batch(task, range(len(task.dataset("valid"))), "valid")
    is_classes, target = "--num-classes" in flags, sample["target"]
    logits = [m(**sample["net_input"], **(HEAD if is_classes else {}))[0] for m in models]
    if is_classes:
        return [x.double().softmax(-1) for x in logits], target.view(-1)
    at = target.ne(task.target_dictionary.pad())
    return [x[at].double().softmax(-1) for x in logits], target[at]


@pytest.mark.parametrize("task", ["translation", "language_modeling", "sentence_prediction"])
def test_figures_are_those_of_complete_distributions(tmp_path, task, monkeypatch):
    """Of several chunks and batches."""
    write, flags = {
        "translation": (write_parallel, PAIR),
        "language_modeling": (write_monolingual, LM),
        "sentence_prediction": (write_labeled, ROBERTA),
    }[task]
    data = write(tmp_path / "data", count=70)
    models = [checkpoint(tmp_path / f"{name}.pt", data, *flags) for name in "st"]
    with torch.no_grad():
        for parameter in models[0].parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    state = torch.load(tmp_path / "s.pt")
    torch.save({**state, "model": models[0].state_dict()}, tmp_path / "s.pt")
    (p_s, p_t), target = distributions(data, flags, models)
    expected = naive(p_s, p_t, target)
    if task == "sentence_prediction":
        del expected["draft_acceptance"]
    monkeypatch.setattr(teacher_comparison, "ROWS", 7)
    files = (tmp_path / "s.pt", tmp_path / "t.pt")
    result = compare(data, task, *files, tokens_per_sample=512, max_tokens=512)
    row = result.rows[0]
    assert 1 < expected["argmax_agreement"] < 99 and expected["kl_bits"] > 0.01
    assert row.pop("teacher") == str(files[1])
    assert row.pop("teacher_ece") == pytest.approx(naive(p_t, p_t, target)["ece"], abs=0.01)
    assert row == pytest.approx(expected, abs=0.01)
    assert f"over {len(target):,}" in result.notes[-1]


def test_bins_are_closed_above_and_certainty_has_one():
    """Positions of confidence 1/3, a bound, and 1."""
    calibration = Calibration()
    probs = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.34, 0.33, 0.33], [1, 0, 0]])
    calibration.add(probs.log(), torch.tensor([0, 1, 0]))
    expected = (2 / 3 + 0.34 + 0) / 3  # one bin, as Guo et al. count them, would be 0.33 / 3
    assert calibration.error == pytest.approx(100 * expected, abs=1e-4)
    agreement = Agreement(is_draft=True)
    agreement.add(probs.log(), probs.log(), torch.tensor([0, 1, 0]))
    assert agreement.row()["draft_acceptance"] == 100 and agreement.row()["kl_bits"] == 0


def test_teachers_that_do_not_fit_are_refused(tmp_path):
    data, other = (write_parallel(tmp_path / name, count=9) for name in ("data", "other"))
    texts = write_monolingual(tmp_path / "texts", count=9)
    write_dictionary(other / "dict.en.txt", words=25)
    files = [tmp_path / f"{name}.pt" for name in ("s", "other", "lm")]
    for path, folder, flags in zip(files, (data, other, texts), (PAIR, PAIR, LM), strict=True):
        checkpoint(path, folder, *flags)
    with pytest.raises(ValueError, match=r"expected the target dictionary that --teacher .* was"):
        compare(data, "translation", files[0], files[1])
    with pytest.raises(ValueError, match=r"--teacher .*: expected an encoder-decoder, got Trans"):
        compare(data, "translation", files[0], files[2])
    with pytest.raises(ValueError, match=r"of --task sentence_prediction, got translation"):
        compare(data, "sentence_prediction", files[0], files[0])
    with pytest.raises(ValueError, match=r"--gen-subset dev: no such split"):
        compare(data, "translation", files[0], files[0], subset="dev")
