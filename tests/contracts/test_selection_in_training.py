"""`--kd-select` in criterions: online, from a cache, fused and dense."""

import pytest

import toy
from caching import build_cache, cached, run, sample_of
from cases import CASES
from lightpaff_fairseq.teachers.cache.reader import CacheReader
from setting import assert_same

SELECT = ("--kd-select", "cross_entropy:0.1", "--kd-chunk-tokens", 7)


@pytest.mark.parametrize("name", ["kd_ss", "kd_mlm"])
def test_every_source_and_path_chooses_the_same_positions(settings, name, tmp_path, monkeypatch):
    """Samples of unequal lengths, so that the batch has padding, which no position may be."""
    setting = settings(next(case for case in CASES if case.name == name))
    assert build_cache(setting, tmp_path / "c", "--topk", toy.WORDS + 5) == 0
    online = setting.run(setting.criterion(*SELECT), sample_of(setting, 1))
    log = online[2]
    assert log["kd_selected"] == -(-log["kd_positions"] // 10)
    read, samples = CacheReader.read, []

    def counted(self, epoch, ids, texts):
        samples.extend(ids)
        return read(self, epoch, ids, texts)

    monkeypatch.setattr(CacheReader, "read", counted)
    assert_same(run(setting, cached(setting, tmp_path / "c", *SELECT)), online, 1e-5)
    assert 0 < len(samples) < 12 and len({*samples}) == len(samples)
    monkeypatch.setattr("lightpaff_fairseq.models.outputs._is_sharded", lambda model: True)
    dense = setting.run(setting.criterion(*SELECT), sample_of(setting, 1))
    assert_same(dense, online, 2e-5)
    assert dense[2]["kd_loss"].item() == pytest.approx(log["kd_loss"].item(), abs=1e-5)


def test_classes_are_not_selected(settings):
    lu = next(case for case in CASES if case.name == "kd_lu")
    with pytest.raises(ValueError, match="expected a criterion whose labels are tokens, got kd_lu"):
        settings(lu).criterion(kd_select="random:0.5")
