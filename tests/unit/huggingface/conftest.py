"""Folders of Hugging Face, and what they were converted to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def converted(tmp_path_factory: Any) -> Callable[[str], tuple[Path, Path]]:
    """Return a function family -> (Hugging Face folder, what it was converted to), made once."""
    from hf_folders import FOLDED, LANGUAGES, MAKERS
    from lightpaff_fairseq.huggingface.conversion import Conversion
    from lightpaff_fairseq.huggingface.to_fairseq import convert

    made: dict[str, tuple[Path, Path]] = {}

    def get(name: str) -> tuple[Path, Path]:
        if name not in made:
            root = tmp_path_factory.mktemp("converted")
            source, out = MAKERS[name](root / "hf"), root / "fairseq"
            segment = 0 if name in FOLDED else None
            languages = LANGUAGES.get(name)
            convert(Conversion(("hf", source), ("fairseq", out), segment, languages))
            made[name] = source, out
        return made[name]

    return get


@pytest.fixture
def source(converted: Callable[[str], tuple[Path, Path]]) -> Path:
    """Return a folder of GPT-2, to read or copy."""
    return converted("gpt2")[0]
