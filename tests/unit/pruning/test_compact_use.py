"""What `lightpaff compact` writes goes wherever a student goes: eval-lm and every exporter."""

import pytest
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import eval_lm

import toy
from lightpaff_fairseq.cli.main import main
from prunable_cases import BLOCKS, CASES, build

# of every format and kind of model that it takes, one; each compares the outputs before it writes
EXPORTS = {
    "ctranslate2": ("translation, all tied, post-norm", "translation, sinusoidal", "lm, gpt2"),
    "onnx": ("classes", "roberta, whole heads"),
    "hf": ("translation, all tied, post-norm", "mass", "lm, gpt2", "roberta", "classes"),
}


def pruned_and_small(name, folder):
    """A masked checkpoint and what `lightpaff compact` makes of it."""
    built = build(CASES[name], folder)
    built.prune()
    path, out = built.save(folder / "pruned.pt"), folder / "small.pt"
    assert main(["compact", "--path", str(path), "--out", str(out)]) == 0
    return path, out


MARKS = {"hf": pytest.mark.hf, "ctranslate2": pytest.mark.export, "onnx": pytest.mark.export}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "name"),
    [pytest.param(to, n, marks=MARKS[to]) for to, names in EXPORTS.items() for n in names],
)
def test_every_exporter_takes_it(to, name, tmp_path):
    pytest.importorskip({"hf": "transformers", "onnx": "onnxruntime"}.get(to, to))
    _, small = pruned_and_small(name, tmp_path)
    out = str(tmp_path / "out")
    if to == "hf":
        assert main(["convert", "--from", "fairseq", str(small), "--to", "hf", out]) == 0
        return
    where = ("--data", str(tmp_path / "data"), "--gen-subset", "valid", "--out", out)
    assert main(["export", "--path", str(small), "--to", to, *where]) == 0


def perplexity(path, data, task):
    words = (data, "--path", path, "--task", task, "--gen-subset", "valid", *BLOCKS)
    words += ("--cpu", "--num-workers", 0, "--user-dir", toy.USER_DIR, "--batch-size", 8)
    args = options.parse_args_and_arch(options.get_eval_lm_parser(), [str(x) for x in words])
    return float(eval_lm.main(convert_namespace_to_omegaconf(args))["perplexity"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lm, gpt2", "lm, projected, sinusoidal"])
def test_eval_lm_finds_the_perplexity_of_the_masked_model(name, tmp_path):
    path, small = pruned_and_small(name, tmp_path)
    masked = perplexity(path, tmp_path / "data", "prunable_language_modeling")
    found = perplexity(small, tmp_path / "data", "language_modeling")
    assert found == pytest.approx(masked, rel=1e-4) and found > 2
