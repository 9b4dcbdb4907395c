"""The plan in OUT: it is read as it was written, and a kill before it leaves nothing in the way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lightpaff_fairseq.distill import plan_file
from lightpaff_fairseq.distill.choices import Choice
from lightpaff_fairseq.distill.plan import Plan
from lightpaff_fairseq.distill.plan_file import LOCK, PLAN, read_plan, write_plan
from lightpaff_fairseq.distill.settings import DistillSettings
from lightpaff_fairseq.distill.steps import Step

STEP = Step("strip", "Strip it", ("lightpaff", "strip"), "x.pt", 0.5)
CHOICE = Choice("loss", "lambda 1", "Measured", "--kd-lambda")


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "teacher.pt").write_bytes(b"weights")
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    names = {"teacher": "teacher.pt", "data": "data", "out": "out"}
    return DistillSettings(**{key: tmp_path / name for key, name in names.items()})


def plan():
    return Plan((CHOICE,), (((STEP,),),), ("a reference",))


def test_a_plan_is_read_as_it_was_written(settings):
    write_plan(settings, plan())
    stored = read_plan(settings)
    assert stored is not None and stored.choices == (CHOICE,) and stored.steps == [STEP]
    assert (settings.out / "references.txt").read_text() == "a reference\n"


@pytest.mark.parametrize("stop", range(4))
def test_a_kill_before_the_plan_lets_the_same_command_plan_again(settings, monkeypatch, stop):
    """The n-th file is not written; what was before it does not stand in the way."""
    count = 0

    def killed(write):
        def stopped(path, *args):
            nonlocal count
            count += 1
            if count > stop:
                path.with_name(f"{path.name}.host-1.tmp").write_text("half")
                raise KeyboardInterrupt
            write(path, *args)

        return stopped

    (settings.out / LOCK).write_text("")
    with monkeypatch.context() as patched:
        for name in ("write_text", "write_json"):
            patched.setattr(plan_file, name, killed(getattr(plan_file, name)))
        with pytest.raises(KeyboardInterrupt):
            write_plan(settings, plan())
    assert read_plan(settings) is None
    write_plan(settings, plan())
    assert read_plan(settings) is not None


def test_another_teacher_of_the_same_name_is_noticed(settings):
    write_plan(settings, plan())
    settings.teacher.write_bytes(b"other weights")
    with pytest.raises(ValueError, match="SHA-256 of --teacher"):
        read_plan(settings)


def test_a_changed_folder_of_the_data_is_noticed(settings, tmp_path):
    (tmp_path / "more").mkdir()
    settings = replace(settings, data=Path(f"{settings.data}:{tmp_path / 'more'}"))
    write_plan(settings, plan())
    (tmp_path / "more" / "train.bin").write_bytes(b"text")
    with pytest.raises(ValueError, match="sizes of the files in --data"):
        read_plan(settings)


@pytest.mark.parametrize("change", ["truncate", "edit", "nest", "list"])
def test_a_damaged_plan_is_one_error(settings, change):
    write_plan(settings, plan())
    path = settings.out / PLAN
    text = path.read_text()
    content = json.loads(text)
    content["stages"] = []
    path.write_text(
        {
            "truncate": text[: len(text) // 2],
            "edit": json.dumps(content),
            "nest": "[" * 100_000,
            "list": "[1]",
        }[change]
    )
    with pytest.raises(ValueError, match="not a plan of lightpaff distill") as error:
        read_plan(settings)
    assert "\n" not in str(error.value)
