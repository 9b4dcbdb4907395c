"""The weights that training rounds to are those that CTranslate2 serves."""

from copy import deepcopy

import numpy as np
import pytest
from ctranslate2.specs import model_spec

from lightpaff_fairseq.export import to_ctranslate2
from lightpaff_fairseq.export.loaded_model import inspect_checkpoint, load_model
from lightpaff_fairseq.models.int8_weights import int8_weights

pytestmark = pytest.mark.export


def variables(student, folder, monkeypatch, quantization):
    """Name -> (value, aliased or not) of what CTranslate2's converter writes."""
    written = {}
    monkeypatch.setattr(
        model_spec.ModelSpec, "save", lambda self, _folder: written.update(self.variables())
    )
    folder.mkdir()
    to_ctranslate2.write(student, folder, quantization)
    return {
        name: value if isinstance(value, str) else value.numpy() for name, value in written.items()
    }


@pytest.mark.parametrize("name", ["sinusoidal", "bart", "language_modeling"])
def test_int8_of_the_float_model_is_the_rounded_model(student, tmp_path, monkeypatch, name):
    path, data, _ = student(name)
    loaded = load_model(inspect_checkpoint(path), data)
    int8 = variables(loaded, tmp_path / "int8", monkeypatch, "int8")
    with int8_weights(loaded.model):
        loaded.info.state["model"] = deepcopy(loaded.model.state_dict())
    rounded = variables(loaded, tmp_path / "float", monkeypatch, None)

    scales = {key for key in int8 if key.endswith("weight_scale")}
    assert len(scales) >= 7 and int8.keys() - scales == rounded.keys()
    matrices = {key.removesuffix("_scale") for key in scales}
    assert {key for key, value in int8.items() if _dtype(value) == np.int8} >= matrices
    for key, value in rounded.items():
        if key in matrices:
            served = int8[key].astype(np.float32) / int8[f"{key}_scale"][:, None]
            assert np.array_equal(value, served), key
            assert not np.array_equal(value, np.rint(value)), key
        else:
            assert np.array_equal(value, int8[key]), key


def _dtype(value):
    return getattr(value, "dtype", None)
