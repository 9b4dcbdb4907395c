"""Compare models: a changed weight is noticed."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tokenizers")

from conversions import load_hf
from lightpaff_fairseq.huggingface import from_fairseq
from lightpaff_fairseq.huggingface.text_back import compare_back

pytestmark = pytest.mark.hf


def test_the_comparison_sees_a_changed_weight(converted: Any, tmp_path: Path) -> None:
    _, out = converted("gpt2")
    from_fairseq.write(out / "model.pt", None, tmp_path)
    assert compare_back(out / "model.pt", None, tmp_path).difference <= 1e-5
    model = load_hf(tmp_path)
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight[3, 5] += 0.5
    model.save_pretrained(tmp_path)
    assert compare_back(out / "model.pt", None, tmp_path).difference > 1e-3
