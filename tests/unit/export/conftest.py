"""Students of every kind and their exports, made once for all tests of this folder."""

import json
from copy import deepcopy
from functools import cache

import pytest

import export_cases
from export_cases import CASES, TRANSLATION
from lightpaff_fairseq.export.export_request import RECORD


@pytest.fixture(scope="session")
def student(tmp_path_factory):
    """Name of a case -> (checkpoint, data, model), made once."""
    return cache(lambda name: export_cases.make(CASES[name], tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="session")
def exports(student):
    """Name of a case -> (case, folder, model in float64, record) of its export, made once."""

    @cache
    def make(name):
        case, (path, data, model) = CASES[name], student(name)
        folder = path.parent
        beam = ("--beam", 5) if case.pair[1] == "translation" else ()
        assert export_cases.export(case, path, folder / "out", "--data", data, *beam) == 0
        assert {x.name for x in folder.iterdir()} == {"data", "student.pt", "out"}
        record = json.loads((folder / "out" / RECORD).read_text())
        return case, folder / "out", deepcopy(model).double(), record

    return make


@pytest.fixture(params=[TRANSLATION, *(name for name in CASES if name != "translation")])
def exported(request, exports):
    return exports(request.param)
