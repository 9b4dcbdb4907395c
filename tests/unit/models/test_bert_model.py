"""The model `bert`: segments from separators, and pairs through the whole life of a model."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tokenizers")

import toy
from conversions import from_hf, load_fairseq, load_hf, order_of, to_hf
from hf_folders import T, bert
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.models.bert import token_types

HEAD = "sentence_classification_head"
TASK = ["--task", "sentence_prediction", "--num-classes", 2, "--init-token", 0]
SIZES = ["--encoder-layers", 1, "--encoder-ffn-embed-dim", 48, "--encoder-attention-heads", 4]
SIZES += ["--encoder-embed-dim", 128, "--max-positions", 42]


def test_the_second_segment_begins_behind_the_first_end() -> None:
    rows = torch.tensor([[0, 7, 2, 8, 9, 2], [0, 2, 8, 2, 1, 1], [0, 7, 2, 1, 1, 1]])
    expected = [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert token_types(rows).tolist() == expected


def test_what_the_model_cannot_be(tmp_path: Path) -> None:
    data = toy.write_labeled(tmp_path, classes=2)
    flags = [*TASK, "--criterion", "sentence_prediction", "--arch", "bert", *SIZES]
    with pytest.raises(ValueError, match=r"--token-types 1: expected 2.*--separator-token 2"):
        toy.build(data, *flags, "--token-types", 1, "--separator-token", 2)


@pytest.mark.slow
@pytest.mark.hf
def test_pairs_import_fine_tune_teach_and_go_back(tmp_path: Path, capsys: Any) -> None:
    source, out = bert(tmp_path / "hf", "Model"), tmp_path / "out"
    from_hf(source, out, "--num-classes", 2)
    shown = capsys.readouterr().out.split("model: ")[1].splitlines()[0].split()
    for name, seed in (("input0", 1), ("input1", 2)):
        (out / name).mkdir(exist_ok=True)
        for split in ("train", "valid"):
            toy.write_split(out / name / split, toy.sentences(24, seed, 40))
    for split in ("train", "valid"):
        toy.write_split(out / "label" / split, [[4 + i % 2, 2] for i in range(24)])
    run = ["--max-tokens", 200, "--max-update", 2, "--lr", 0.001, "--lr-scheduler", "fixed"]
    tuned, student = tmp_path / "tuned", tmp_path / "student"
    fine_tuning = ["--criterion", "sentence_prediction", "--save-dir", tuned, *run]
    toy.train(out, *shown, "--finetune-from-model", out / "model.pt", *fine_tuning)
    teacher = tuned / "checkpoint_last.pt"
    start = ["--arch", "roberta", "--teacher", teacher, "--out", tmp_path / "start.pt", *SIZES]
    assert main(["init-student", *map(str, start), "--layers", "last"]) == 0
    teaching = ["--criterion", "kd_lu", "--kd-teacher", teacher, "--save-dir", student, *run]
    begin = ["--finetune-from-model", tmp_path / "start.pt"]
    toy.train(out, "--arch", "roberta", *SIZES, *TASK, *begin, *teaching)
    back = load_hf(to_hf(teacher, tmp_path / "back", "--data", out))
    assert type(back) is T.BertForSequenceClassification
    again = from_hf(tmp_path / "back", tmp_path / "again")
    (model, _), before = load_fairseq(again), toy.checkpoint(teacher)["model"]
    state = model.state_dict()
    names = [name for name in before if "lm_head" not in name and "version" not in name]
    assert len(names) > 30 and all(torch.equal(state[name], before[name]) for name in names)
    tokenizer = T.AutoTokenizer.from_pretrained(tmp_path / "back")
    batch, inverse = tokenizer("a cat", "the mat", return_tensors="pt"), order_of(again).argsort()
    assert batch.token_type_ids.any()
    with torch.no_grad():
        logits = model(inverse[batch.input_ids], classification_head_name=HEAD)[0]
        assert torch.allclose(logits, back(**batch).logits, atol=1e-5)
