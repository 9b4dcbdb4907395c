"""Print how far fairseq's logits are from transformers', for a random model of every family.

    python scripts/parity.py            # a Markdown table; about a minute

The models are tiny and random, with noise on every weight; a text goes in on both sides. "back" is
what differs after the way to fairseq and back: tensors, bit by bit.
"""

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from hf_folders import FOLDED, LANGUAGES, MAKERS, T
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.from_fairseq import write
from lightpaff_fairseq.huggingface.to_fairseq import convert


def load_state(folder: Path) -> dict[str, torch.Tensor]:
    """Return the state dict of a Hugging Face folder."""
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    return dict(getattr(T, name).from_pretrained(folder).state_dict())


def way_back(source: Path, out: Path, folder: Path) -> str:
    """Convert back; return how many tensors differ."""
    try:
        write(out / "model.pt", None, folder)
    except ValueError:
        return "refused"
    before, after = load_state(source), load_state(folder)
    return f"{sum(not torch.equal(before[n], after[n]) for n in before)} of {len(before)} tensors"


def main() -> None:
    """Convert every family and print its row."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print("| model | class | largest difference of a logit | differs after the way back |")
    print("|---|---|---:|---:|")
    for name, make in MAKERS.items():
        with tempfile.TemporaryDirectory() as root:
            source, out = make(Path(root) / "hf"), Path(root) / "out"
            segment = 0 if name in FOLDED else None
            request = Conversion(("hf", source), ("fairseq", out), segment, LANGUAGES.get(name))
            compared = convert(request).compared
            assert compared is not None
            architecture = json.loads((source / "config.json").read_text())["architectures"][0]
            back = way_back(source, out, Path(root) / "back")
            print(f"| {name} | `{architecture}` | {compared.difference:.1e} | {back} |", flush=True)


if __name__ == "__main__":
    main()
