"""`lightpaff doctor` tells a healthy installation from a broken one."""

import sys

import pytest
import torch
from fairseq.criterions import CRITERION_REGISTRY

from lightpaff_fairseq import __version__
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.compat import REPAIRS
from lightpaff_fairseq.doctor import devices, packages, plugin
from lightpaff_fairseq.provenance import version
from lightpaff_fairseq.trainer_hooks import HOOKS


def test_a_healthy_installation(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"lightpaff_fairseq {__version__} in ")
    assert f"torch            {version('torch')}" in printed
    assert "device cpu" in printed and "float32 ok" in printed and "bfloat16 ok" in printed
    assert "fused distillation loss in chunks (lightpaff_fairseq): active" in printed
    batches = "repair keep_last_batch: fairseq.data.data_utils.batch_by_size (fairseq #5036, #5351)"
    assert f"{batches}: active\n" in printed
    hook = "hook mark_dummy_batches: fairseq.trainer.Trainer._prepare_sample: active\n"
    assert hook in printed
    assert printed.count("\nrepair ") == len(REPAIRS) and printed.count("\nhook ") == len(HOOKS)
    assert printed.endswith("nothing is wrong\n")


@pytest.mark.parametrize(
    "versions,words",
    [
        ({"torch": "2.4.1"}, "torch 2.4.1: expected 2.6 or newer"),
        ({"sacrebleu": None}, "sacrebleu is not installed"),
        ({"fairseq": "0.12.2"}, "fairseq and fairseq-fixed overwrite each other"),
    ],
)
def test_packages_that_do_not_fit(monkeypatch, versions, words):
    installed = {name: packages.version(name) for name in packages.NEEDED} | versions
    monkeypatch.setattr(packages, "version", installed.get)
    (problem,) = packages.package_problems().messages
    assert words in problem


def test_versions_are_compared_as_numbers():
    assert packages.version_numbers("2.13.0+cpu") == (2, 13, 0) > (2, 6)
    assert packages.version_numbers("2.10.0rc1") == (2, 10)


def test_parts_that_were_not_compiled(monkeypatch):
    monkeypatch.setitem(sys.modules, "fairseq.data.data_utils_fast", None)
    (problem,) = packages.package_problems().messages
    assert problem.startswith("fairseq.data.data_utils_fast")


def test_a_loss_that_is_wrong_is_noticed(monkeypatch, capsys):
    right = devices.fused_distillation_loss

    def wrong(*args):
        terms = right(*args)
        return terms._replace(loss=terms.loss * 1.2)

    monkeypatch.setattr(devices, "fused_distillation_loss", wrong)
    assert any("float32: wrong: a loss of" in p for p in devices.device_problems().messages)
    assert main(["doctor"]) == 1
    assert "PROBLEM: cpu, float32: wrong" in capsys.readouterr().out


def test_a_gpu_that_this_torch_cannot_use(monkeypatch, tmp_path):
    driver = tmp_path / "version"
    driver.write_text("x")
    monkeypatch.setattr(devices, "NVIDIA_DRIVER", driver)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert any("built without CUDA" in p for p in devices.device_problems().messages)


def test_names_that_another_plugin_took_and_other_copies(monkeypatch, tmp_path):
    class Foreign:
        pass

    monkeypatch.setitem(CRITERION_REGISTRY, "kd_ss", Foreign)
    (tmp_path / "lightpaff_fairseq").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    problems = plugin.plugin_problems().messages
    assert len(problems) == 3
    assert (
        "criterion kd_ss: expected that of lightpaff_fairseq, got that of test_doctor"
        in problems[0]
    )
    assert str(tmp_path / "lightpaff_fairseq") in problems[1]
    assert "WORLD_SIZE=2" in problems[2]
