"""`lightpaff seq-kd`, as a user runs it: the data that it writes."""

import json
import shutil

import numpy as np
import pytest
import torch
from fairseq import tasks
from fairseq.data import Dictionary, data_utils, indexed_dataset

import toy
from seq_kd_runs import SIDES, SS, files, lines, seq_kd


def naive_hypotheses(setting, beam=3, longest=6):
    """All hypotheses of every source, by a generator that is given one sentence at a time."""
    task, model = setting.task, setting.teacher.eval()
    cfg = toy.parse(*SS.argv(setting.data), "--max-tokens", 99).generation
    cfg.beam, cfg.max_len_b = beam, longest
    generator = task.build_generator([model], cfg)
    hypotheses = []
    for index in range(len(task.dataset("train"))):
        (answer,) = task.inference_step(generator, [model], toy.batch(task, [index]))
        hypotheses.append([tuple(x["tokens"].tolist()) for x in answer])
    return hypotheses


def is_kept(target):
    """Not empty, and no special symbol inside (an untrained model generates them, too)."""
    return len(target) > 1 and not {0, 1, 2} & set(target[:-1])


def test_every_line_is_a_source_and_a_hypothesis_of_the_teacher(setting, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "out", "--nbest", 2) == 0
    expected = naive_hypotheses(setting)
    sources = [source for source, _ in lines(setting.data)]
    assert lines(tmp_path / "out") == [
        (source, target)
        for source, targets in zip(sources, expected, strict=True)
        for target in targets[:2]
        if is_kept(target)
    ]
    dropped = sum(not is_kept(target) for targets in expected for target in targets[:2])
    report = json.loads((tmp_path / "out" / "seq_kd.json").read_text())
    assert report["pairs"] == {"distilled": 74 - dropped, "original": 0}
    assert sum(report["dropped"].values()) == dropped
    assert f"{74 - dropped} pairs" in capsys.readouterr().out


def test_dictionaries_and_other_splits_come_along_and_a_student_trains(setting, tmp_path):
    out = tmp_path / "out"
    assert seq_kd(setting, out) == 0
    others = {k: v for k, v in files(setting.data).items() if not k.startswith("train.")}
    assert len(others) == 2 + 2 * 4  # dictionaries; valid and test
    assert others.items() <= files(out).items()
    flags = ("--lr", 0.01, "--max-tokens", 60, "--max-update", 2)
    for criterion in ("label_smoothed_cross_entropy", "kd_ss"):
        teacher = ("--kd-teacher", setting.path) if criterion == "kd_ss" else ()
        save_dir = tmp_path / criterion
        argv = SS.argv(out, "--criterion", criterion, *teacher, *flags)
        toy.train(*argv, "--save-dir", save_dir)
        state = toy.checkpoint(save_dir / "checkpoint_last.pt")
        assert state["optimizer_history"][-1]["num_updates"] == 2


@pytest.mark.parametrize("share", [0.5, 0.25, 0.9])
def test_shares_of_original_pairs_are_exact(setting, tmp_path, share):
    assert seq_kd(setting, tmp_path / "out", "--mix", share) == 0
    pairs, originals = lines(tmp_path / "out"), lines(setting.data)
    counts = json.loads((tmp_path / "out" / "seq_kd.json").read_text())["pairs"]
    assert len(pairs) == sum(counts.values())
    assert abs(counts["original"] - share * len(pairs)) < 1
    mixed = pairs[counts["distilled"] :]
    assert set(mixed) <= set(originals)
    often = [mixed.count(pair) / originals.count(pair) for pair in set(originals)]
    assert max(often) - min(often) <= 1


def test_the_hypothesis_nearest_to_the_reference_is_taken(setting, tmp_path):
    assert (
        seq_kd(setting, tmp_path / "out", "--choose", "reference", "--choose-metric", "chrf") == 0
    )
    from sacrebleu.metrics import CHRF

    dictionary, metric = setting.task.target_dictionary, CHRF()
    expected = []
    for (source, reference), answers in zip(lines(setting.data), naive_hypotheses(setting)):
        text = dictionary.string(torch.tensor(reference))
        scores = [
            metric.sentence_score(dictionary.string(torch.tensor(x)), [text]).score for x in answers
        ]
        expected.append((source, answers[int(np.argmax(scores))]))
    assert lines(tmp_path / "out") == [(a, b) for a, b in expected if is_kept(b)]


def test_hypotheses_may_begin_as_the_reference_does(setting, tmp_path):
    assert seq_kd(setting, tmp_path / "out", "--prefix-size", 2) == 0
    begins = {source: target[:2] for source, target in lines(setting.data)}
    pairs = lines(tmp_path / "out")
    assert pairs and all(target[:2] == begins[source] for source, target in pairs)


def test_an_ensemble_decodes_together(setting, tmp_path):
    torch.manual_seed(99)
    cfg = toy.parse(*SS.argv(setting.data, "--max-tokens", 500, teacher=True))
    other = toy.save_model(
        tmp_path / "b.pt", cfg, tasks.setup_task(cfg.task).build_model(cfg.model)
    )
    pairs = []
    for i, path in enumerate((setting.path, other, f"{setting.path}:{other}")):
        assert seq_kd(setting, tmp_path / str(i), path=path) == 0
        pairs.append(lines(tmp_path / str(i)))
    assert pairs[2] not in pairs[:2]


def test_parts_of_a_split_are_joined_and_sources_need_no_references(setting, copied, tmp_path):
    extra = toy.sentences(11, seed=8)
    for side in SIDES:
        toy.write_split(copied / f"train1.sv-en.{side}", extra)
    assert seq_kd(setting, tmp_path / "out", data=copied) == 0
    expected = [source for source, _ in lines(copied)] + [tuple(map(int, x)) for x in extra]
    assert [source for source, _ in lines(tmp_path / "out")] == expected
    assert not list((tmp_path / "out").glob("train1*"))
    for path in copied.glob("train*.en.*"):
        path.unlink()
    assert seq_kd(setting, tmp_path / "mono", data=copied) == 0
    assert lines(tmp_path / "mono") == lines(tmp_path / "out")


def test_summarization_truncates_or_drops_what_is_too_long(setting, copied, tmp_path, capsys):
    """Sources of up to 200 tokens, models that take 64."""
    long = toy.sentences(20, seed=8, longest=200)
    toy.write_split(copied / "train.sv-en.sv", long)
    toy.write_split(copied / "train.sv-en.en", [[*x[:3], 2] for x in long])
    too_long = sum(len(x) > 64 for x in long)
    limits = ("--max-source-positions", 64, "--max-tokens", 200)
    assert 0 < too_long < 20
    assert seq_kd(setting, tmp_path / "a", *limits, data=copied) == 0
    assert len(lines(tmp_path / "a")) == 20 - too_long
    assert f"dropped: {too_long} source too long" in capsys.readouterr().out
    assert seq_kd(setting, tmp_path / "b", *limits, "--truncate-source", data=copied) == 0
    assert [source for source, _ in lines(tmp_path / "b")] == [tuple(map(int, x)) for x in long]


def rewrite(data, folder, impl):
    """Write parallel data in another form of fairseq-preprocess."""
    for path in data.glob("dict.*.txt"):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    for path in data.glob("*.idx"):
        prefix, dictionary = path.with_suffix(""), Dictionary.load(str(data / "dict.sv.txt"))
        dataset = data_utils.load_indexed_dataset(str(prefix), None, "mmap")
        if impl == "raw":
            text = "".join(dictionary.string(dataset[i]) + "\n" for i in range(len(dataset)))
            (folder / prefix.name).write_text(text)
            continue
        builder = indexed_dataset.make_builder(f"{folder / prefix.name}.bin", impl=impl)
        for i in range(len(dataset)):
            builder.add_item(dataset[i])
        builder.finalize(f"{folder / prefix.name}.idx")
    return folder


@pytest.mark.parametrize("impl", ["raw", "lazy", "cached"])
def test_the_data_have_one_form_whatever_that_of_the_input(setting, tmp_path, impl):
    """fairseq reads all splits with one --dataset-impl."""
    assert seq_kd(setting, tmp_path / "mmap") == 0
    data = rewrite(setting.data, tmp_path / "data", impl)
    assert seq_kd(setting, tmp_path / "out", "--dataset-impl", impl, data=data) == 0
    assert files(tmp_path / "out") == files(tmp_path / "mmap")
    for more in ((), ("--dataset-impl", "mmap")):
        task = tasks.setup_task(toy.parse(*SS.argv(tmp_path / "out"), *more).task)
        for split in ("train", "valid", "test"):
            task.load_dataset(split)
            assert len(task.dataset(split)) == len(lines(tmp_path / "mmap", split))
