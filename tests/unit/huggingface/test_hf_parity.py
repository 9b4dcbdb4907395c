"""Compare models: a changed weight is noticed."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tokenizers")

from conversions import load_hf
from lightpaff_fairseq.huggingface import from_fairseq, hf_parity

pytestmark = pytest.mark.hf


def test_the_comparison_sees_a_changed_weight(converted: Any, tmp_path: Path) -> None:
    _, out = converted("gpt2")
    from_fairseq.write(out / "model.pt", None, tmp_path)
    assert hf_parity.largest_difference(out / "model.pt", None, tmp_path) <= 1e-5
    model = load_hf(tmp_path)
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight[3, 5] += 0.5
    model.save_pretrained(tmp_path)
    assert hf_parity.largest_difference(out / "model.pt", None, tmp_path) > 1e-3
