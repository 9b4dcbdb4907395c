"""The task `masked_seq2seq`: cutting of the text, batches in any set-up, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import tasks

import toy

BATCHES = {"max_tokens": 60, "max_positions": (64, 64), "seed": 7}


def setup(data: Path | str, *flags):
    cfg = toy.parse(data, "--task", "masked_seq2seq", "--arch", "mass_tiny", *flags)
    return tasks.setup_task(cfg.task)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return toy.write_monolingual(tmp_path_factory.mktemp("mono"), count=61)


@pytest.fixture(scope="module")
def task(corpus):
    result = setup(corpus, "--sample-break-mode", "eos", "--seed", 7)
    result.load_dataset("train")
    return result


def iterator(task, epoch: int = 1, **how):
    data = task.dataset("train")
    return task.get_batch_iterator(data, epoch=epoch, **{**BATCHES, **how})


def release(batches) -> None:
    """Breaks fairseq's reference cycle: workers in a cycle take 5 s each to stop."""
    batches.epoch_batch_sampler.ordered_batches = None


def read(batches) -> list[dict]:
    """All batches of the iterator's epoch."""
    result = list(batches.next_epoch_itr())
    release(batches)
    return result


def content(batches) -> dict[int, tuple]:
    """What each sample looks like: index -> tokens of every part, without padding."""
    result = {}
    for batch in batches:
        if not batch:  # a shard's filler
            continue
        parts = (batch["net_input"]["src_tokens"], batch["net_input"]["positions"], batch["target"])
        for row, index in enumerate(batch["id"].tolist()):
            assert index not in result
            result[index] = tuple(tuple(p[row][p[row].ne(1)].tolist()) for p in parts)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 3])
def test_masks_are_the_same_in_any_number_of_workers_and_processes(task, epoch):
    plain = content(read(iterator(task, epoch)))
    assert len(plain) == 61
    assert content(read(iterator(task, epoch, num_workers=2))) == plain
    shards: dict = {}
    for rank in range(3):
        split = iterator(task, epoch, num_shards=3, shard_id=rank, num_workers=rank)
        part = content(read(split))
        assert part and not part.keys() & shards.keys()
        shards.update(part)
    assert shards == plain
    assert content(read(iterator(task, epoch, max_tokens=33))) == plain


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_masks_are_the_same_after_a_resume(task, workers):
    whole = read(iterator(task, 2, num_workers=workers))
    begun = iterator(task, 2, num_workers=workers)
    running = begun.next_epoch_itr()
    for _ in range(3):
        next(running)
    state = begun.state_dict()
    release(begun)
    assert state["epoch"] == 2 and state["iterations_in_epoch"] == 3
    task.dataset("train").set_epoch(1)  # a fresh process knows nothing
    resumed = iterator(task, state["epoch"], num_workers=workers)
    resumed.load_state_dict(state)
    rest = read(resumed)
    assert len(rest) == len(whole) - 3 > 0
    for got, want in zip(rest, whole[3:], strict=True):
        assert torch.equal(got["id"], want["id"]) and torch.equal(got["target"], want["target"])
        for key in want["net_input"]:
            assert torch.equal(got["net_input"][key], want["net_input"][key]), key


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_have_other_masks_of_the_same_samples(task, workers):
    epochs = [content(read(iterator(task, e, num_workers=workers))) for e in (1, 2)]
    assert epochs[0].keys() == epochs[1].keys()
    long = [i for i, parts in epochs[0].items() if len(parts[0]) > 4]
    assert sum(epochs[0][i] != epochs[1][i] for i in long) > len(long) / 2


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "complete", "complete_doc", "eos"])
def test_samples_are_the_text_in_order(corpus, monkeypatch, mode):
    monkeypatch.delattr(np, "compat", raising=False)  # as in numpy 2
    flags = ("--sample-break-mode", mode, "--tokens-per-sample", 12, "--mask-replace", "0,0,1")
    task = setup(corpus, *flags)
    task.load_dataset("train")
    data = task.dataset("train")
    samples = [data[i]["source"].tolist() for i in range(len(data))]
    sentences = toy.sentences(61, seed=0)
    assert [len(sample) for sample in samples] == data.sizes.tolist()
    if mode == "eos":
        assert samples == sentences
    text = sum(sentences, [])
    assert sum(samples, []) == text
    if mode == "none":
        assert {len(sample) for sample in samples[:-1]} == {12}
    else:
        assert all(sample[-1] == 2 and len(sample) <= 12 for sample in samples)
        assert mode == "eos" or len(samples) < len(sentences)


def test_folders_are_used_in_turn(tmp_path, corpus):
    second = toy.write_monolingual(tmp_path / "second", count=5)
    task = setup(f"{corpus}:{second}", "--sample-break-mode", "eos")
    assert task.has_sharded_data("train") and not setup(corpus).has_sharded_data("train")
    lengths = []
    for epoch in (1, 2, 3):
        task.load_dataset("train", epoch=epoch)
        task.load_dataset("valid", epoch=epoch)
        lengths.append((len(task.dataset("train")), len(task.dataset("valid"))))
    assert lengths == [(61, 61), (5, 61), (61, 61)]  # validation is always the first folder's


@pytest.mark.slow
def test_limits_and_dictionaries(corpus):
    task = setup(corpus, "--max-source-positions", 700, "--max-target-positions", 600)
    assert task.max_positions() == (700, 600)
    assert task.source_dictionary is task.target_dictionary
    eos = ("--sample-break-mode", "eos", "--max-source-positions", 64)
    assert setup(corpus, *eos).max_positions() == (64, 1024)  # tokens per sample are no limit


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags,words",
    [
        (("--mask-ratio", 0), ["--mask-ratio 0.0", "above 0, up to 1"]),
        (("--mask-ratio", 1.01), ["--mask-ratio 1.01"]),
        (("--mask-ratio", "nan"), ["--mask-ratio nan"]),
        (("--mask-replace", "0.8,0.2"), ["--mask-replace '0.8,0.2'", "three non-negative"]),
        (("--mask-replace", "0.8,0.1,0.2"), ["--mask-replace '0.8,0.1,0.2'"]),
        (("--mask-replace", "1.1,-0.1,0"), ["--mask-replace '1.1,-0.1,0'"]),
        (("--mask-replace", "nan,0.5,0.5"), ["--mask-replace"]),
        (("--mask-replace", "all"), ["--mask-replace 'all'"]),
        (("--mask-window", -1), ["--mask-window -1", "0 (off)"]),
        (("--mask-window", 513), ["--mask-window 513", "(512)"]),
        (("--tokens-per-sample", 0), ["--tokens-per-sample 0"]),
        (("--max-source-positions", 100), ["--tokens-per-sample 512", "-source-positions (100)"]),
        (("--max-target-positions", 100), ["--tokens-per-sample 512", "-target-positions (100)"]),
        (("--mask-ratio", 2, "--mask-window", -3), ["--mask-ratio 2.0", "--mask-window -3"]),
    ],
    ids=str,
)
def test_values_out_of_range(tmp_path, flags, words):
    with pytest.raises(ValueError) as caught:
        setup(tmp_path / "no such folder", *flags)  # before any data are looked for
    assert all(word in str(caught.value) for word in words), caught.value


def test_edges_of_the_ranges_are_accepted(corpus):
    flags = ("--mask-ratio", 1, "--mask-window", 512, "--mask-replace", "0,1,0")
    task = setup(corpus, *flags, "--span-placement", "mass")
    assert task.policy.replace == (0.0, 1.0, 0.0) and task.policy.placement == "mass"


@pytest.mark.slow
def test_a_dictionary_without_what_masking_needs(tmp_path):
    toy.write_dictionary(tmp_path / "dict.txt", mask=False)
    with pytest.raises(ValueError, match=r"append the line '<mask> 1'.*--srcdict") as caught:
        setup(tmp_path, "--mask-ratio", 3)
    assert "--mask-ratio 3" in str(caught.value)  # every problem at once
    toy.write_dictionary(tmp_path / "dict.txt", words=1)
    with pytest.raises(ValueError, match="2 or more ordinary symbols, .* holds 1"):
        setup(tmp_path)
    assert setup(tmp_path, "--mask-replace", "0.9,0,0.1").policy.replace[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "complete", "complete_doc", "eos"])
@pytest.mark.parametrize("sentences", [[], [[], []]], ids=["no sentence", "no token"])
def test_an_empty_corpus(tmp_path, mode, sentences):
    toy.write_dictionary(tmp_path / "dict.txt")
    toy.write_split(tmp_path / "train", sentences)
    with pytest.raises(ValueError) as caught:
        setup(tmp_path, "--sample-break-mode", mode).load_dataset("train")
    assert f"split 'train' at {tmp_path / 'train'} holds no text" in str(caught.value)


def test_documents_of_separators_only_are_an_empty_corpus(tmp_path):
    toy.write_dictionary(tmp_path / "dict.txt")
    toy.write_split(tmp_path / "train", [[2], [2]])
    with pytest.raises(ValueError, match="holds no text"):
        setup(tmp_path, "--sample-break-mode", "complete_doc").load_dataset("train")


@pytest.mark.slow
def test_a_missing_split(corpus):
    with pytest.raises(FileNotFoundError, match="test"):
        setup(corpus).load_dataset("test")
    with pytest.raises(FileNotFoundError, match="dict.txt"):
        setup(corpus / "nothing")
