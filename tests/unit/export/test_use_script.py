"""What an exported folder's use.py prints: fairseq's answers, line by line, for any line."""

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator

import export_cases
from export_cases import CASES
from lightpaff_fairseq.export import exporter, script_parity, use_script

pytestmark = [pytest.mark.export, pytest.mark.slow]
pytest.importorskip("ctranslate2")
pytest.importorskip("onnxruntime")

LIMITS = {"translation": 39, "language_modeling": 39, "sentence_prediction": 30, "masked_lm": 30}


def odd_lines(longest):
    """Ordinary and odd lines, more than a batch, of mixed lengths."""
    words = [f"w{3 * i % 26}" for i in range(longest + 100)]
    ordinary = [" ".join(words[i : i + 1 + i % 7]) for i in range(use_script.MANY_LINES)]
    odd = ["", "w5", " ".join(words[:longest]), "zzz w3 \u2603", "  w4\tw6 ", "\u2603"]
    long = [" ".join(words[: longest + 1]), " ".join(words)]
    return [ordinary[0], odd[0], long[0], *odd, long[1], *ordinary, odd[0], ordinary[1]]


def encoded(model, line):
    """The ids that fairseq makes of a line, without the end of sentence."""
    dictionary = (model.decoder if hasattr(model, "decoder") else model.encoder).dictionary
    return dictionary.encode_line(line, add_if_not_exist=False, append_eos=False).tolist()


@torch.no_grad()
def continuation(model, text):
    """fairseq's greedy continuation by at most 30 tokens."""
    dictionary = model.decoder.dictionary
    longest = {"beam_size": 1, "max_len_b": len(text) + 30}
    generator = SequenceGenerator([model], dictionary, **longest)
    sample = {"net_input": {"src_tokens": torch.tensor([[2, *text]])}}
    prefix = torch.tensor([text]) if text else None
    (best,) = generator.generate([model], sample, prefix_tokens=prefix)[0]
    return [dictionary[i] for i in best["tokens"][len(text) : -1]]


def check_answer(case, model, line, printed):
    longest = LIMITS[case.pair[1]]
    kind, text = case.pair[1], encoded(model, line)
    if kind == "language_modeling":
        score, written = printed.split("\t")
        reference = export_cases.expected(case, model, text) if text else 0
        assert float(score) == pytest.approx(reference, abs=0.006)
        assert written.split(" ") == [*line.split(), *continuation(model, text)]
        return
    reference = export_cases.expected(case, model, text)
    if isinstance(reference, float):
        assert float(printed) == pytest.approx(reference, abs=1e-4)
    elif kind == "translation" and not text:
        assert printed == ""  # CTranslate2 translates nothing; fairseq its end of sentence
    elif kind == "translation" and len(printed.split()) == longest:
        pass  # both stop there, fairseq with an end that it forces
    elif not case.ends:  # a random model's first symbol: see SEARCH in export/export_parity.py
        assert printed == reference


def test_odd_lines_get_fairseqs_answers_and_long_ones_a_notice(exported):
    case, folder, model, _ = exported
    longest = LIMITS[case.pair[1]]
    lines = odd_lines(longest)
    printed, notices = export_cases.use_and_notices(folder, lines)
    assert len(printed) == len(lines) > use_script.MANY_LINES
    refused = [i for i, line in enumerate(lines) if len(line.split()) > longest]
    assert len(refused) == 2 and notices == [
        f"line {i + 1} has no answer: {len(lines[i].split())} tokens, but the model supports "
        f"{longest} at most"
        for i in refused
    ]
    for i, (line, answer) in enumerate(zip(lines, printed, strict=True)):
        if i in refused:
            assert answer == ""
        else:
            check_answer(case, model, line, answer)


@pytest.mark.parametrize("name", ["classes", "language_modeling"])
def test_only_long_lines(name, exports):
    case, folder, *_ = exports(name)
    lines = ["w1 " * 100] * (use_script.MANY_LINES + 1) + ["w1"]
    printed, notices = export_cases.use_and_notices(folder, lines)
    assert printed[:-1] == [""] * (len(lines) - 1) and printed[-1] != ""
    assert len(notices) == len(lines) - 1 and notices[-1].startswith(f"line {len(lines) - 1} ")


def planted(monkeypatch, old, new):
    """Exports write a use.py in which a fault is planted."""
    write = exporter.write_companions

    def wrong(request, student, folder, report):
        write(request, student, folder, report)
        path = folder / script_parity.SCRIPT
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    monkeypatch.setattr(exporter, "write_companions", wrong)


FAULTS = {
    "language_modeling": ('["</s>", *text]', '["</s>", *text[1:]]'),
    "sinusoidal": ("return line.split()", "return line.split()[:-1]"),
    "classes": ("[0, *(", "[*("),
    "regression": ("for x in text), 2]", "for x in text)]"),
    "masked_lm": ("ids.get(x, 3)", "ids.get(x, 3) + 1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_script_that_makes_other_ids_is_not_exported(
    name, student, tmp_path, monkeypatch, capsys
):
    planted(monkeypatch, *FAULTS[name])
    path, data, _ = student(name)
    assert export_cases.export(CASES[name], path, tmp_path / "out", "--data", data) == 2
    message = capsys.readouterr().err
    assert "use.py" in message and not list(tmp_path.iterdir())
