"""A teacher with another vocabulary: `lightpaff vocabulary-map` and `--kd-vocabulary-map`."""

import copy
import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from fairseq.logging import metrics

import toy
from caching import build_cache, cached, run
from cases import CASES
from datasets import texts
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.criterions.config_checks import check_task
from lightpaff_fairseq.criterions.seq2seq import KdSeq2SeqCriterion
from lightpaff_fairseq.losses.divergences import Divergence
from lightpaff_fairseq.losses.mapped import mapped_divergence
from lightpaff_fairseq.protocols import DUMMY_BATCH
from lightpaff_fairseq.teachers.cache.reader import CacheReader
from lightpaff_fairseq.teachers.cache.tail import TAILS
from lightpaff_fairseq.teachers.vocabulary_map import read_vocabulary_map
from other_vocabulary import LINES, World
from setting import assert_same


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", ["kd_ss", "kd_lm"])
def test_equal_vocabularies_are_the_plain_loss(world, name):
    code, path = world.map(name, "student")
    assert code == 0
    setting = world.setting("student", name)
    sample = toy.batch(setting.task, range(LINES))
    flags = {"kd_lambda": 0.7, "kd_temperature": 2.0}
    plain = setting.run(setting.criterion(**flags), sample)
    mapped = setting.run(setting.criterion(**flags, kd_vocabulary_map=str(path)), sample)
    assert mapped[2]["kd_aligned"] == mapped[2]["kd_positions"]
    assert_same(mapped, plain, 1e-6)


@pytest.mark.parametrize("name", ["kd_ss", "kd_lm"])
def test_a_cache_of_all_tokens_is_the_teacher(world, name, tmp_path):
    code, path = world.map(name)
    assert code == 0
    setting, other = world.setting("student", name), world.setting("teacher", name)
    sample = toy.batch(setting.task, range(LINES))
    flags = {"kd_lambda": 0.7, "kd_temperature": 2.0, "kd_vocabulary_map": str(path)}
    online = setting.run(setting.criterion(**flags, kd_teacher=str(other.path)), sample)
    cache = world.cache(tmp_path / "all", name, path, "--topk", len(other.task.target_dictionary))
    assert_same(run(setting, cached(setting, cache, **flags), 1, range(LINES)), online, 1e-6)


def test_caches_of_some_tokens(world, tmp_path):
    """Each tail, and draws; aligned positions alone are stored."""
    code, path = world.map("kd_ss")
    assert code == 0
    setting, other = world.setting("student", "kd_ss"), world.setting("teacher", "kd_ss")
    flags = {"kd_lambda": 1.0, "kd_vocabulary_map": str(path)}
    sample = toy.batch(setting.task, range(LINES))
    online = setting.run(setting.criterion(**flags, kd_teacher=str(other.path)), sample)[2]
    vocab = len(other.task.target_dictionary)
    top = world.cache(tmp_path / "top", "kd_ss", path, "--topk", vocab - 2)
    tails = {}
    for tail in TAILS:
        criterion = cached(setting, top, **flags, kd_tail=tail)
        tails[tail] = run(setting, criterion, 1, range(LINES))[2]
        assert tails[tail]["kd_aligned"] == online["kd_aligned"] < online["kd_positions"]
        loss = tails[tail]["kd_loss"].item()  # of two tokens less
        assert loss == pytest.approx(online["kd_loss"].item(), rel=0.02)
    drawn = world.cache(tmp_path / "drawn", "kd_ss", path, "--sample", 3000)
    log = run(setting, cached(setting, drawn, **flags), 1, range(LINES))[2]
    assert log["kd_loss"].item() == pytest.approx(online["kd_loss"].item(), rel=0.1)
    for cache in (top, drawn):
        stand_in = setting.run(cached(setting, cache, **flags), {**sample, DUMMY_BATCH: True})
        assert stand_in[2]["kd_aligned"] == stand_in[2]["kd_positions"]
    reader = CacheReader(top, "--out")
    assert reader.positions == online["kd_aligned"] and reader.plan.layout.vocab == len(
        other.task.target_dictionary
    )
    gap = tmp_path / "gap.json"
    whole = read_vocabulary_map(path)
    replace(whole, counterparts=whole.counterparts[:-1]).write(gap, "--out")
    refusals = {
        "vocabulary map: .* in the cache, None here": {},
        "vocabulary map: .* in the cache, .* here": {
            "kd_vocabulary_map": str(world.map("kd_ss", "teacher", "student", *world.text)[1])
        },
    }
    for words, other_flags in refusals.items():
        with pytest.raises(ValueError, match=words):
            run(setting, cached(setting, top, **other_flags))
    with pytest.raises(ValueError, match="draws need a counterpart .*, 1 have none"):
        run(setting, cached(setting, drawn, kd_vocabulary_map=str(gap)))
    own = ("--path", other.path, "--kd-vocabulary-map", gap)
    assert build_cache(setting, tmp_path / "none", "--sample", 5, *own) == 2


def surface(pieces):
    return "".join(pieces).replace("▁", " ")


@pytest.mark.parametrize("name", ["kd_ss", "kd_lm"])
def test_loss_is_that_of_sentences_one_by_one(world, name):
    """A batch with padding against each sentence alone, tokenized from the text for both models."""
    code, path = world.map(name)
    assert code == 0
    setting, other = world.setting("student", name), world.setting("teacher", name)
    flags = {"kd_lambda": 1.0, "kd_teacher": str(other.path), "kd_vocabulary_map": str(path)}
    sample = toy.batch(setting.task, range(LINES))
    _, _, log = setting.run(setting.criterion(**flags), sample)
    tokens, total, aligned = read_vocabulary_map(path).token_map(), 0.0, 0
    student, teacher = copy.deepcopy(setting.student), other.teacher
    for source, target in zip(*world.lines, strict=True):
        cut, lprobs = [], []
        for side, model in (("student", student), ("teacher", teacher)):
            pieces = world.models[side].encode(target, out_type=str)
            cut.append([surface(pieces[:k]) for k in range(len(pieces) + 1)])
            previous = torch.tensor([[2, *world.encoded(side, [target])[0][:-1]]])
            inputs = torch.tensor(world.encoded(side, [source]))
            argv = (inputs, None, previous) if name == "kd_ss" else (previous,)
            with torch.no_grad():
                lprobs.append(model.eval()(*argv)[0][0].double().log_softmax(-1))
        for i, prefix in enumerate(cut[0]):
            if prefix in cut[1]:
                rows = lprobs[0][i : i + 1], lprobs[1][cut[1].index(prefix)][None]
                total += mapped_divergence(*rows, tokens, Divergence("forward_kl")).item()
                aligned += 1
    assert log["kd_aligned"] == aligned
    assert 0.3 < aligned / log["kd_positions"] < 1
    assert log["kd_loss"].item() == pytest.approx(total, rel=1e-5)


def test_positions_within_lines_are_aligned_by_their_text(world):
    """Several lines in a row, which starts within a word, with an unknown token in the second."""
    code, path = world.map("kd_lm")
    assert code == 0
    alignment = read_vocabulary_map(path).alignment()
    own, other = (side["target"] for side in (alignment.student, alignment.teacher))
    lines = world.encoded("student", ["the weather was nice", "we went home", "it rained"])
    lines[1][3] = own.unk()
    flat = [token for line in lines for token in line][1:]
    tokens, pairs = alignment.target(flat)
    assert tokens[0] == other.eos() and tokens.count(other.eos()) == 3
    ends = [k for k, token in enumerate(flat) if token == own.eos()]
    first = next(k for k, token in enumerate(flat) if own[token].startswith("▁"))
    seen = {i for i, _ in pairs}
    assert min(seen) >= first and {ends[0], ends[1]} <= seen
    inside = len(lines[0]) - 1 + 3  # the unknown token's position: its prefix is known
    assert not seen & set(range(inside, ends[1]))
    for i, j in pairs:
        line_s = [own[x] for x in flat[first : i + 1]]
        line_t = [other[x] for x in tokens[1 : j + 1]]
        last_s, last_t = (surface(x).split("</s>")[-1] for x in (line_s, line_t))
        assert last_s == last_t
        assert line_s.count("</s>") == line_t.count("</s>")


def test_text_shares_a_token_among_those_that_continue_alike(world):
    """Counted by hand: the tokens at places where both models have read the same text."""
    text = texts(300)[1]
    _, path = world.map("kd_ss", "teacher", "student", *world.text)
    vocabularies = read_vocabulary_map(path)
    teacher, student = vocabularies.teacher.target, vocabularies.student.target
    counts = Counter()
    for line in text:
        starts = []
        for side in ("teacher", "student"):
            pieces = world.models[side].encode(line, out_type=str)
            ends = [surface(pieces[:k]) for k in range(len(pieces))]
            starts.append(dict(zip(ends, pieces, strict=True)))
        for prefix in starts[0].keys() & starts[1].keys():
            counts[starts[0][prefix], starts[1][prefix]] += 1
    _, plain = world.map("kd_ss")
    for x, y, _ in read_vocabulary_map(plain).counterparts:
        counts[teacher[x], student[y]] += 1
    got = {(teacher[x], student[y]): count for x, y, count in vocabularies.counterparts}
    assert got == counts and len(got) > len(teacher)


def test_share_of_aligned_positions_is_shown():
    logs = [
        {"kd_positions": n, "kd_aligned": m, "kd_loss": loss, "nll_loss": 1.0, "sample_size": n}
        | {"ntokens": n, "loss": 1.0}
        for n, m, loss in ((30, 10, 4.0), (50, 30, 8.0))
    ]
    with metrics.aggregate(new_root=True) as shown:
        KdSeq2SeqCriterion.reduce_metrics(logs)
    shown = shown.get_smoothed_values()
    assert shown["kd_aligned"] == pytest.approx(0.5)
    assert shown["kd_loss"] == pytest.approx(12 / 40 / math.log(2), abs=1e-3)


FLAGS = {
    "kd_teacher": "a.pt:b.pt",
    "kd_select": "random:0.5",
    "kd_on_policy": 0.5,
    "kd_hidden_weight": 1.0,
    "kd_temperature_schedule": "cwsm",
    "kd_kernel": "triton",
}


def test_flags_that_do_not_fit_are_named_together(world):
    setting = world.setting("student", "kd_ss")
    with pytest.raises(ValueError) as error:
        setting.criterion(kd_vocabulary_map="m", **FLAGS)
    for words in (
        "m: expected one teacher, got a.pt:b.pt",
        "m: expected no --kd-select, got random:0.5",
        "m: expected no --kd-on-policy, got 0.5",
        "m: expected no --kd-hidden-weight",
        "m: expected --kd-temperature-schedule constant, got cwsm",
        "m: expected no --kd-kernel triton",
    ):
        assert f"--kd-vocabulary-map {words}" in str(error.value)


def test_masked_and_multilingual_tasks_are_refused(settings, world):
    masked = settings(next(case for case in CASES if case.name == "kd_mlm"))
    with pytest.raises(ValueError, match="m: expected --criterion kd_ss or kd_lm or kd_clm, got"):
        masked.criterion(kd_vocabulary_map="m")
    setting = world.setting("student", "kd_ss")
    criterion = setting.criterion(kd_vocabulary_map="m")
    cfg = criterion.distiller.cfg
    task = SimpleNamespace(cfg=SimpleNamespace(_name="translation_multi_simple_epoch"))
    with pytest.raises(ValueError, match="expected --task translation, got translation_multi"):
        check_task(cfg, task, True, True)


def test_maps_of_other_models_are_refused(world):
    setting, other = world.setting("student", "kd_ss"), world.setting("teacher", "kd_ss")

    def refused(path, words, **flags):
        criterion = setting.criterion(kd_vocabulary_map=str(path), **flags)
        with pytest.raises(ValueError, match=words):
            criterion.before_training(setting.student, lambda: 0)

    _, path = world.map("kd_ss")
    refused(path, "expected the source dictionary that --kd-teacher")  # its own teacher
    _, swapped = world.map("kd_ss", "student", "teacher")
    refused(swapped, "made for another student: source dictionaries differ: symbol")
    _, of_lm = world.map("kd_lm")
    refused(of_lm, "of a language model, but the training has")
    with pytest.raises(ValueError, match=r"reverse KL punishes .* \(the student has 70\)"):
        flags = {"kd_teacher": str(setting.path), "kd_divergence": "reverse_kl"}
        criterion = other.criterion(kd_vocabulary_map=str(swapped), **flags)
        criterion.before_training(other.student, lambda: 0)
    damaged = world.folder / "damaged.json"
    damaged.write_text(path.read_text().replace("▁the", "▁teh", 1))
    refused(damaged, "corrupt: its checksum differs")
    damaged.write_text("{}")
    refused(damaged, "expected a file of lightpaff vocabulary-map, got another one")
    refused(world.folder / "none", "no such file")


def test_command_lists_what_is_missing(world, capsys):
    data = world.setting("student", "kd_lm").data
    argv = ("--teacher-data", data, "--teacher-model", "none.model", "--data", data)
    more = ("--model", world.folder / "text", "--out", world.folder, "--source-lang", "sv")
    assert main(["vocabulary-map", *map(str, (*argv, *more))]) == 2
    message = capsys.readouterr().err
    for words in (
        "--source-lang, --target-lang: expected both or none",
        "--out",
        "--teacher-model none.model: no such file (expected a SentencePiece model)",
    ):
        assert words in message
    argv = ("--teacher-data", data, "--teacher-model", world.folder / "text", "--data", data)
    more = ("--model", f"{world.folder / 'teacher'}.model", "--out", world.folder / "x")
    assert main(["vocabulary-map", *map(str, (*argv, *more))]) == 2
    message = capsys.readouterr().err
    assert "--teacher-model" in message and "expected a SentencePiece model" in message
    assert not (world.folder / "x").exists()
