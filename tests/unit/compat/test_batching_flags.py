"""With the plug-in imported, every flag of fairseq-train makes the batches of plain fairseq."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from fairseq.dataclass.configs import DatasetConfig
from fairseq.logging import metrics
from fairseq.tasks.language_modeling import LanguageModelingConfig
from fairseq.tasks.masked_lm import MaskedLMConfig
from fairseq.tasks.translation import TranslationConfig
from fairseq.trainer import Trainer
from fairseq_cli import train

import toy
from plain_runs import BERT, LM, SMALL
from without_plugin import without_plugin

pytestmark = pytest.mark.slow  # 2 x 22 trainings without steps

PAIRS = f"--task translation --source-lang sv --target-lang en {SMALL}"
ONE = "--required-batch-size-multiple 1"
TEXT = f"--task language_modeling {LM} --tokens-per-sample 9 --batch-size 4 {ONE}"
MASKS = f"--task masked_lm --criterion masked_lm {BERT} --tokens-per-sample 9 --batch-size 4 {ONE}"
CASES = {
    "tokens": f"{PAIRS} --max-tokens 60 --max-tokens-valid 40 {ONE}",
    "sentences": f"{PAIRS} --batch-size 6 --batch-size-valid 4 --required-batch-size-multiple 2",
    "both": f"{PAIRS} --batch-size 5 --max-tokens 40 --max-valid-steps 3 {ONE}",
    "buckets": f"{PAIRS} --max-tokens 60 --num-batch-buckets 3",
    "buckets, both": f"{PAIRS} --batch-size 6 --max-tokens 40 --num-batch-buckets 4 {ONE}",
    "padding": f"{PAIRS} --batch-size 8 --required-seq-len-multiple 4 --left-pad-source "
    "--left-pad-target",
    "truncated": f"{PAIRS} --batch-size 5 --truncate-source --max-source-positions 6 {ONE}",
    "skipped": f"{PAIRS} --batch-size 5 --max-source-positions 6 --max-target-positions 7 "
    f"--skip-invalid-size-inputs-valid-test {ONE}",
    "workers": f"{PAIRS} --batch-size 8 --num-workers 1 --data-buffer-size 2 --max-epoch 1",
    "seed of epochs": f"{PAIRS} --max-tokens 60 --update-ordered-indices-seed "
    f"--update-epoch-batch-itr True {ONE}",
    "curriculum": f"{PAIRS} --max-tokens 60 --curriculum 1 --update-freq 2,3 {ONE}",
    "two ranks": f"{PAIRS} --max-tokens 60 --grouped-shuffling --fix-batches-to-gpus {ONE}",
    "no remainder": f"{PAIRS} --max-tokens 60 --skip-remainder-batch --update-freq 2 {ONE}",
    "subsets": f"{PAIRS} --batch-size 8 --train-subset test --valid-subset valid,train "
    "--dataset-impl mmap --validate-interval 2",
    "joined subsets": f"{PAIRS} --batch-size 8 --upsample-primary 2 --combine-valid-subsets",
    "updates": f"{PAIRS} --batch-size 8 --validate-interval-updates 2 --validate-after-updates 3 "
    "--fixed-validation-seed 7 --upsample-primary 1 --ignore-unused-valid-subsets",
    "text": f"{TEXT} --add-bos-token",
    "fixed shape": f"{TEXT} --sample-break-mode complete --pad-to-fixed-length --pad-to-fixed-bsz"
    " --tokens-per-sample 12",
    "shortened": f"{TEXT} --sample-break-mode eos --shorten-method truncate --tokens-per-sample 7 "
    "--shorten-data-split-list valid --skip-invalid-size-inputs-valid-test",
    "masks": f"{MASKS} --mask-prob 0.3 --leave-unmasked-prob 0.2 --random-token-prob 0.3 "
    "--freq-weighted-replacement --mask-multiple-length 2 --mask-stdev 1",
    "shortened masks": f"{MASKS} --sample-break-mode eos --shorten-method random_crop "
    "--skip-invalid-size-inputs-valid-test",
}
OTHER = {  # flags that make no batches
    "disable_validation": "no validation at all",
    "gen_subset num_shards shard_id": "of fairseq-generate",
    "data source_lang target_lang dataset_impl": "every case has them",
    "load_alignments": "one more tensor, of a file",
    "eval_bleu eval_bleu_args eval_bleu_detok eval_bleu_detok_args eval_tokenized_bleu "
    "eval_bleu_remove_bpe eval_bleu_print_samples": "what is done with a batch",
    "output_dictionary_size self_target future_target past_target": "targets of a language model",
    "seed batch_size_valid": "of another section",
    "use_plasma_view plasma_path": "a store of arrays that does not run here",
    "tpu d2v2_multi include_target_tokens include_index skip_masking": "of hardware, and of speech",
    "mask_whole_words": "broken in fairseq",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders by the first words of the flags: pairs, pairs in two parts, text."""
    folder = tmp_path_factory.mktemp("batches")
    pairs = toy.write_parallel(folder / "pairs", 40)
    parts = toy.write_parallel(folder / "parts", 40)
    for split in ("train", "valid"):
        for path in parts.glob(f"{split}.*"):
            copy = path.with_name(path.name.replace(split, f"{split}1", 1))
            copy.write_bytes(path.read_bytes())
    text = toy.write_monolingual(folder / "text", 40)

    def folder_of(flags):
        if "--upsample" in flags:
            return parts
        return pairs if "translation" in flags else text

    return folder_of


def batches(cfg, monkeypatch, ranks=1):
    """All batches of a training, by fairseq's own loop over epochs, with recorders for steps."""
    seen = []

    def train_step(self, samples, *args):
        seen.append(("train", values(samples)))
        self.set_num_updates(self.get_num_updates() + 1)

    def valid_step(self, sample, *args):
        seen.append(("valid", values(sample)))
        metrics.log_scalar("loss", 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", train_step)
        patched.setattr(Trainer, "valid_step", valid_step)
        patched.setattr(Trainer, "data_parallel_world_size", ranks)
        patched.setattr(Trainer, "data_parallel_rank", ranks - 1)
        patched.setattr(Trainer, "use_distributed_wrapper", False)
        torch.manual_seed(1)
        np.random.seed(1)
        train.main(cfg)
    return seen


def values(sample):
    """A batch as plain values that can be compared."""
    if isinstance(sample, dict):
        return {key: values(value) for key, value in sample.items()}
    if isinstance(sample, list | tuple):
        return [values(value) for value in sample]
    return sample.tolist() if isinstance(sample, torch.Tensor | np.ndarray) else sample


def both(flags, data, monkeypatch):
    """The batches of plain fairseq, and those with the plug-in."""
    words = f"--max-epoch 2 --lr 0.1 --seed 3 --no-save {flags}".split()
    criterion = () if "--criterion" in words else ("--criterion", "cross_entropy")
    quiet = ("--cpu", "--log-format", "none", "--no-progress-bar")
    workers = () if "--num-workers" in words else ("--num-workers", 0)
    cfg = toy.parse(data(flags), *quiet, *workers, *criterion, *words)
    ranks = 2 if "--grouped-shuffling" in words else 1
    with without_plugin() as count:
        plain = batches(cfg, monkeypatch, ranks)
    assert count > 10
    return plain, batches(cfg, monkeypatch, ranks)


@pytest.mark.filterwarnings("ignore:.*interpolation:DeprecationWarning")  # of fairseq
@pytest.mark.parametrize("name", CASES)
def test_the_batches_are_plain_fairseqs(name, data, monkeypatch):
    plain, with_plugin = both(CASES[name], data, monkeypatch)
    assert len(plain) > 3 and {kind for kind, _ in plain} == {"train", "valid"}
    assert with_plugin == plain


def test_only_the_batch_that_fairseq_drops_is_added(data, monkeypatch):
    """Of 40 sentences in batches of at most 60 tokens, the last ones are not 8."""
    plain, with_plugin = both(f"{PAIRS} --max-tokens 60", data, monkeypatch)
    added = [x for x in with_plugin if x not in plain]
    assert all(x in with_plugin for x in plain) and len(with_plugin) == len(plain) + len(added)
    kinds = [kind for kind, _ in added]
    assert kinds.count("train") == kinds.count("valid") == 2, "one in each of two epochs"
    for kind, count in (("train", 40), ("valid", 40)):
        ids = [x[0]["id"] if kind == "train" else x["id"] for k, x in with_plugin if k == kind]
        assert sorted(sum(ids, [])) == sorted([*range(count)] * 2)


def test_every_flag_has_a_case():
    sections = (DatasetConfig, TranslationConfig, LanguageModelingConfig, MaskedLMConfig)
    fields = {field.name for x in sections for field in dataclasses.fields(x)} - {"_name"}
    fields |= {"skip_remainder_batch", "update_freq", "fix_batches_to_gpus"}
    flags = {x.replace("-", "_") for x in re.findall(r"--([a-z-]+)", " ".join(CASES.values()))}
    other = set(" ".join(OTHER).split())
    assert other <= fields and fields - flags - other == set()
