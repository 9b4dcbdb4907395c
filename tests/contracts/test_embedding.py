"""What `kd_embed` promises: naive losses, single sentences, resuming, correlations, bad input."""

import itertools

import pytest
import torch
import torch.nn.functional as F

import toy
from evaluated import evaluate
from lightpaff_fairseq.models.sentence_embeddings import split_sentences

TASK = ("--task", "sentence_prediction", "--num-classes", 1, "--regression-target")
TASK += ("--init-token", 0, "--max-positions", 32)
RUN = ("--lr", 0.01, "--lr-scheduler", "fixed", "--batch-size", 6, "--seed", 3)
WEIGHTS = ("--kd-cosine-weight", 0.5, "--kd-similarity-weight", 2)
MARGIN = ("--kd-margin-weight", 3)
COUNT = 24


def arch(width, layers=1):
    sizes = {"layers": layers, "embed-dim": width, "ffn-embed-dim": 8, "attention-heads": 2}
    flags = [x for name, value in sizes.items() for x in (f"--encoder-{name}", value)]
    return ("--arch", "roberta", *flags, "--dropout", 0, "--attention-dropout", 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pairs with and without the second sentence, and a teacher of width 8."""
    folder = tmp_path_factory.mktemp("embedding")
    pairs = [toy.sentences(COUNT, seed) for seed in (1, 2)]
    for name, inputs in (("pairs", pairs), ("single", [pairs[0]])):
        for i, sentences in enumerate(inputs):
            toy.write_dictionary(folder / name / f"input{i}" / "dict.txt")
            for split in ("train", "valid"):
                toy.write_split(folder / name / f"input{i}" / split, sentences)
    (folder / "pairs" / "label").mkdir()
    labels = "".join(f"{len(a) - len(b)}\n" for a, b in zip(*pairs, strict=True))
    (folder / "pairs" / "label" / "valid.label").write_text(labels)
    cfg = toy.parse(folder / "pairs", *TASK, *arch(8), "--criterion", "sentence_prediction")
    task, teacher, _ = toy.build(folder / "pairs", *TASK, *arch(8), "--criterion", "kd_embed")
    for parameter in teacher.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    toy.save_model(folder / "teacher.pt", cfg, teacher)
    return folder, pairs, teacher.eval()


def flags(world, *more, width=4, data="pairs"):
    folder = world[0]
    own = ("--criterion", "kd_embed", "--kd-teacher", folder / "teacher.pt")
    return (folder / data, *TASK, *arch(width), *own, *more)


def one_by_one(model, sentences, pooling):
    """The normalized embedding of every sentence, alone and without padding."""
    rows = [model(torch.tensor([[0, *x]]), features_only=True)[0][0] for x in sentences]
    pooled = [row.mean(0) if pooling == "mean" else row[0] for row in rows]
    return F.normalize(torch.stack(pooled), dim=-1)


@pytest.mark.parametrize("pooling,data", [("mean", "pairs"), ("first", "single")])
def test_loss_and_gradient_equal_those_of_single_sentences(world, pooling, data):
    _, pairs, teacher = world
    more = MARGIN if data == "pairs" else ()
    words = flags(world, *WEIGHTS, *more, "--kd-pooling", pooling, data=data)
    task, model, criterion = toy.build(*words)
    chosen = range(5)
    loss, size, log = criterion(model, toy.batch(task, chosen))
    loss.backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    inputs = pairs if data == "pairs" else pairs[:1]
    order = [int(task.dataset("train")[i]["id"]) for i in chosen]
    sentences = [x[i] for i in order for x in inputs]
    student = one_by_one(model, sentences, pooling)
    with torch.no_grad():
        expected = one_by_one(teacher, sentences, pooling)
        columns, triangle = torch.linalg.qr(criterion.projection.free)
        columns = columns * triangle.diagonal().sign()
    cosine = (1 - (student @ columns.T * expected).sum(-1)).sum()
    others = ~torch.eye(len(student), dtype=torch.bool)
    rows = [
        F.log_softmax((x @ x.T)[others].view(len(x), -1) / 0.05, -1) for x in (student, expected)
    ]
    similarity = F.kl_div(*rows, reduction="sum", log_target=True)
    naive = 0.5 * cosine + 2 * similarity
    if more:
        margin = margins(student, expected)
        naive = naive + 3 * margin
        assert float(log["kd_margin"]) == pytest.approx(margin.item(), rel=1e-4)
    naive.backward()
    assert size == len(sentences) and loss.item() == pytest.approx(naive.item(), rel=1e-4)
    assert float(log["kd_similarity"]) == pytest.approx(similarity.item(), rel=1e-4)
    wanted = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    largest = max(grad.abs().max() for grad in wanted.values())
    assert got.keys() == wanted.keys() and largest > 0.1
    assert all((got[name] - wanted[name]).abs().max() < 1e-4 * largest for name in wanted)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def margins(student, teacher):
    """Margin-MSE of normalized pairs by its definition, over both directions."""
    total = 0
    for i, j in itertools.permutations(range(len(student) // 2), 2):
        for a, b in ((2 * i, 2 * j + 1), (2 * i + 1, 2 * j)):  # a sentence, the other side of j
            own = 2 * i + (a == 2 * i)
            of_s, of_t = (x[a] @ x[own] - x[a] @ x[b] for x in (student, teacher))
            total = total + (of_s - of_t).square() / (len(student) // 2 - 1)
    return total


def test_margins_need_pairs(world):
    task, model, criterion = toy.build(*flags(world, *MARGIN, data="single"))
    with pytest.raises(ValueError, match="--kd-margin-weight 3: expected pairs .*got 4 other"):
        criterion(model, toy.batch(task, range(4)))
    task, model, criterion = toy.build(*flags(world, *MARGIN, "--kd-cosine-weight", 0))
    loss, _, _ = criterion(model, toy.batch(task, range(1)))
    assert loss == 0  # a batch of one pair has no negatives


def test_samples_are_split_at_their_separators(world):
    task = toy.build(*flags(world))[0]
    rows = [[0, 7, 2, 8, 9, 2], [0, 7, 2, 2, 8, 2], [0, 2, 1, 1, 1, 1], [0, 2, 8, 2, 1, 1]]
    sentences, counts = split_sentences(torch.tensor(rows), task.source_dictionary)
    assert counts == [2, 2, 1, 2]
    expected = [[0, 7, 2], [0, 8, 9, 2], [0, 7, 2], [0, 8, 2], [0, 2], [0, 2], [0, 8, 2]]
    assert [[x for x in row if x != 1] for row in sentences.tolist()] == expected


@pytest.mark.slow
def test_training_resumes_bit_equal_with_its_learned_map(world, tmp_path):
    """The learned map is in the checkpoint, so resuming is bit-equal."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    long = (*WEIGHTS, *RUN, "--max-update", 24)
    toy.train(*flags(world, *long), "--save-dir", whole)
    toy.train(*flags(world, *WEIGHTS, *RUN, "--max-update", 10), "--save-dir", parts)
    toy.train(*flags(world, *long), "--save-dir", parts)
    one, other = (toy.checkpoint(x / "checkpoint_last.pt") for x in (whole, parts))
    for section in ("model", "criterion"):
        assert one[section].keys() == other[section].keys() and len(one[section]) > 0
        assert all(torch.equal(x, other[section][name]) for name, x in one[section].items())


@pytest.mark.slow
def test_evaluation_correlates_cosines_one_by_one(world, tmp_path, capsys):
    folder, pairs, teacher = world
    _, student, _ = toy.build(*flags(world))
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    path = toy.save_model(tmp_path / "s.pt", toy.parse(*flags(world)), student)
    more = ("--gen-subset", "valid", "--teacher", folder / "teacher.pt", "--pooling", "first")
    code, rows = evaluate("sentence_embedding", folder / "pairs", path, *more)
    with torch.no_grad():
        first, second = (one_by_one(student.eval(), x, "first") for x in pairs)
        own = (first * second).sum(-1)
        first, second = (one_by_one(teacher, x, "first") for x in pairs)
    labels = torch.tensor([float(len(a) - len(b)) for a, b in zip(*pairs, strict=True)])
    pearson = torch.corrcoef(torch.stack([own, labels]))[0, 1].item()
    ranks = torch.stack([x.argsort().argsort().float() for x in (own, (first * second).sum(-1))])
    assert code == 0 and rows[0]["pairs"] == COUNT
    assert rows[0]["pearson"] == pytest.approx(100 * pearson, abs=0.01)
    of_teacher = 100 * torch.corrcoef(ranks)[0, 1].item()
    assert rows[0]["teacher_spearman"] == pytest.approx(of_teacher, abs=0.01)
    assert "Spearman with teacher" in capsys.readouterr().out
    for data, split, expected in (
        ("single", "valid", "label/valid.label, got none"),
        ("pairs", "test", "--gen-subset test: expected pairs with one number each"),
    ):
        code, _ = evaluate("sentence_embedding", folder / data, path, "--gen-subset", split)
        assert code == 2 and expected in capsys.readouterr().err


@pytest.mark.parametrize(
    "more,expected",
    [
        (("--kd-cosine-weight", 0), "--kd-cosine-weight 0: expected more than 0"),
        (("--kd-cosine-weight", -1), "--kd-cosine-weight -1.0: expected 0"),
        (("--kd-similarity-temperature", 0), "--kd-similarity-temperature 0.0: expected"),
        (("--init-token", 2), "--init-token 2: expected 0"),
        (("--kd-teacher", "a.pt:b.pt"), "--kd-teacher a.pt:b.pt: expected one checkpoint"),
    ],
)
def test_bad_flags(world, more, expected):
    with pytest.raises(ValueError, match=expected):
        toy.build(*flags(world, *more))


def test_bad_models(world):
    for more, width, expected in (
        ((), 12, "--encoder-embed-dim 12: expected at most the teacher's width 8"),
        (("--kd-teacher", "no.pt"), 4, "--kd-teacher no.pt: no such file"),
    ):
        _, model, criterion = toy.build(*flags(world, *more, width=width))
        with pytest.raises(ValueError, match=expected):
            criterion.before_training(model, lambda: 0)
    _, model, criterion = toy.build(*flags(world))
    with pytest.raises(ValueError, match="fairseq-validate does not load the learned map"):
        criterion.eval()(model, None)
