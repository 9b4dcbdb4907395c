"""Properties of MASS samples, and that they depend on (seed, epoch, index) only."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import tasks, utils
from fairseq.data import Dictionary, FairseqDataset
from fairseq.tasks import TASK_REGISTRY

import toy
from lightpaff_fairseq.tasks.masked_seq2seq import MaskedSeq2SeqTask
from lightpaff_fairseq.tasks.masked_seq2seq_dataset import (
    MaskedSeq2SeqDataset,
    MaskPolicy,
    Symbols,
)

EOS, PAD, UNK = 2, 1, 3
SYMBOLS = Symbols(pad=PAD, eos=EOS, mask=30, ordinary=np.arange(4, 30))
ALL_MASK, ALL_RANDOM, ALL_KEPT = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
POLICY = MaskPolicy(ratio=0.5, window=0, replace=(0.8, 0.1, 0.1), placement="uniform", seed=3)


def dataset(samples: list[list[int]], **policy) -> MaskedSeq2SeqDataset:
    sizes = np.array([len(sample) for sample in samples])
    blocks = [torch.tensor(sample) for sample in samples]
    return MaskedSeq2SeqDataset(blocks, sizes, SYMBOLS, replace(POLICY, **policy))


def texts(count: int, seed: int = 0) -> list[list[int]]:
    """One to three sentences a sample, the last one with or without its eos."""
    rng = np.random.default_rng(seed)
    pool = toy.sentences(3 * count, seed)
    joined = [sum(pool[i : i + rng.integers(1, 4)], []) for i in range(0, 3 * count, 3)]
    return [text[: len(text) - (i % 3 == 0)] for i, text in enumerate(joined)]


def masked(item: dict) -> list[int]:
    """The masked positions p of an item, from its position numbers."""
    return (item["positions"] - PAD - 1).tolist()


def runs(positions: list[int]) -> list[list[int]]:
    result: list[list[int]] = []
    for p in positions:
        if result and p == result[-1][-1] + 1:
            result[-1].append(p)
        else:
            result.append([p])
    return result


@pytest.mark.parametrize("placement", ["uniform", "mass"])
@pytest.mark.parametrize("ratio", [0.01, 0.15, 0.5, 1.0])
@pytest.mark.parametrize("window", [0, 1, 4])
def test_every_property_of_an_item(placement, ratio, window):
    """Written out token by token from the definition of the task."""
    samples = texts(60)
    data = dataset(samples, placement=placement, ratio=ratio, window=window)
    for index, x in enumerate(samples):
        item = data[index]
        positions, m = masked(item), len(x) - (x[-1] == EOS and len(x) > 1)
        assert item["id"] == index and len(item["source"]) == len(x)
        assert positions == sorted(set(positions)) and set(positions) <= set(range(m))
        assert item["target"].tolist() == [x[p] for p in positions]
        before = [x[p - 1] if p > 0 else EOS for p in positions]
        assert item["prev_output_tokens"].tolist() == before
        visible = [p for p in range(len(x)) if p not in positions]
        assert [item["source"][p].item() for p in visible] == [x[p] for p in visible]
        for start in range(0, m, window or m):
            size = min(window or m, m - start)
            inside = [p for p in positions if start <= p < start + size]
            assert len(runs(inside)) == 1  # one fragment in every window
            assert len(inside) == max(1, int(ratio * size + 0.5))


def test_no_masked_token_is_visible_unless_keep_drew_it():
    samples = texts(80)
    for shares in (ALL_MASK, ALL_RANDOM, (0.5, 0.5, 0.0)):
        data = dataset(samples, replace=shares)
        for epoch in range(1, 6):
            data.set_epoch(epoch)
            for item in (data[i] for i in range(len(samples))):
                assert (item["source"][masked(item)] != item["target"]).all()
    kept = dataset(samples, replace=ALL_KEPT)
    assert all(kept[i]["source"].tolist() == x for i, x in enumerate(samples))


def test_replacements_have_their_shares_and_random_symbols_are_ordinary():
    x = [7] * 10_000 + [UNK] * 10_000 + [EOS]
    item = dataset([x], ratio=1.0)[0]
    seen, true = item["source"][:-1], item["target"]
    for share, count in (
        (0.8, seen.eq(SYMBOLS.mask).sum()),
        (0.1, seen.eq(true).sum()),
        (0.1, (seen.ne(true) & seen.ne(SYMBOLS.mask)).sum()),
    ):
        assert abs(count.item() - 20_000 * share) < 5 * (20_000 * share * (1 - share)) ** 0.5
    drawn = Counter(dataset([x], ratio=1.0, replace=ALL_RANDOM)[0]["source"][:10_000].tolist())
    assert set(drawn) == set(range(4, 30)) - {7}  # all ordinary symbols but the token itself
    assert max(abs(n - 400) for n in drawn.values()) < 5 * 20
    from_unk = dataset([x], ratio=1.0, replace=ALL_RANDOM)[0]["source"][10_000:-1]
    assert set(from_unk.tolist()) == set(range(4, 30))


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["uniform", "mass"])
def test_fragments_start_where_the_placement_says(placement):
    data, draws = dataset([[*range(4, 14), EOS]], placement=placement), 6000
    starts: Counter = Counter()
    for epoch in range(draws):
        data.set_epoch(epoch)
        starts[masked(data[0])[0]] += 1
    uniform = 1 / 6 if placement == "uniform" else 0.6 / 6
    ends = uniform + (0.2 if placement == "mass" else 0)
    assert set(starts) == set(range(6))
    for start, count in starts.items():
        share = ends if start in (0, 5) else uniform
        assert abs(count - draws * share) < 5 * (draws * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("placement", ["uniform", "mass"])
@pytest.mark.parametrize("x", [[EOS], [9], [9, EOS], [9, 8], [9, 8, EOS], [EOS, EOS]], ids=str)
def test_very_short_samples(x, placement):
    item = dataset([x], placement=placement, replace=ALL_MASK, window=4)[0]
    assert len(item["target"]) == 1 and item["source"].ne(torch.tensor(x)).sum() == 1
    if x[-1] == EOS and len(x) > 1:
        assert item["source"][-1] == EOS


def test_a_batch_is_padded_as_for_translation():
    samples = [[5, EOS], [6, 7, 8, 9, 10, EOS], [9], [6, 7, 8, EOS]]
    data = dataset(samples, ratio=1.0)
    batch = data.collater([data[i] for i in range(4)])
    net_input, target = batch["net_input"], batch["target"]
    assert batch["id"].tolist() == [1, 3, 0, 2] and batch["nsentences"] == 4
    assert net_input["src_lengths"].tolist() == [6, 4, 2, 1]
    assert batch["ntokens"] == target.ne(PAD).sum().item() == 5 + 3 + 1 + 1
    for row, index in enumerate(batch["id"].tolist()):
        item, n, t = data[index], len(samples[index]), len(data[index]["target"])
        assert net_input["src_tokens"][row].tolist() == [PAD] * (6 - n) + item["source"].tolist()
        for padded, key in (
            (target, "target"),
            (net_input["prev_output_tokens"], "prev_output_tokens"),
            (net_input["positions"], "positions"),
        ):
            assert padded[row].tolist() == item[key].tolist() + [PAD] * (5 - t)
    # a fragment that is everything is teacher forcing as in translation
    counted = utils.make_positions(net_input["prev_output_tokens"], PAD)
    assert torch.equal(counted, net_input["positions"])
    assert data.collater([]) == {}


def test_masks_follow_seed_epoch_and_index_and_sizes_do_not():
    samples = [list(range(4, 28))] * 40
    first, other_seed = dataset(samples), dataset(samples, seed=4)
    assert isinstance(first, FairseqDataset) and not first.can_reuse_epoch_itr_across_epochs
    again = dataset(samples)
    again.set_epoch(2)
    tensors = [d[i]["source"].tolist() for d in (first, other_seed, again) for i in range(40)]
    assert len({tuple(t) for t in tensors}) > 115  # 120 draws, hardly any twice
    assert (first.sizes == again.sizes).all() and first.size(3) == again.size(3) == (24, 24)
    again.set_epoch(1)
    backwards = {i: again[i] for i in reversed(range(40))}
    for i in range(40):
        assert all(torch.equal(first[i][k], backwards[i][k]) for k in ("source", "positions"))


def test_sizes_order_and_limits():
    data = dataset([[5] * n for n in (3, 0, 7, 3, 5)])
    order = data.ordered_indices()
    assert data.sizes[order].tolist() == [3, 3, 5, 7]  # the empty sample is left out
    assert data.num_tokens(2) == 7 and data.num_tokens_vec(order).tolist() == [3, 3, 5, 7]
    for limits in ((5, 9), (9, 5)):  # the decoder's positions reach as far as the source
        kept, ignored = data.filter_indices_by_size(order, limits)
        assert data.sizes[kept].tolist() == [3, 3, 5] and list(ignored) == [2]


def test_symbols_of_a_dictionary(tmp_path):
    path = tmp_path / "dict.txt"
    path.write_text("a 9\n<mask> 1\nb 5\nmadeupword0000 0\n")
    symbols = Symbols.of(Dictionary.load(str(path)))
    assert (symbols.pad, symbols.eos, symbols.mask) == (PAD, EOS, 5)
    assert symbols.ordinary.tolist() == [4, 6]


def test_registry_holds_our_task_and_import_by_fairseq_changes_nothing():
    import lightpaff_fairseq.tasks as ours

    tasks.import_tasks(str(Path(ours.__file__).parent), "lightpaff_fairseq.tasks")
    assert TASK_REGISTRY["masked_seq2seq"] is MaskedSeq2SeqTask
