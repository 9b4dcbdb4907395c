"""What an exported folder's use.py prints: fairseq's answers, line by line, for any line."""

import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from subprocess import PIPE

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator

import export_cases
import toy
from export_cases import CASES
from lightpaff_fairseq.export import exporter, script_parity, use_script

pytestmark = [pytest.mark.export, pytest.mark.slow]
pytest.importorskip("ctranslate2")
pytest.importorskip("onnxruntime")

LIMITS = {"translation": 39, "language_modeling": 39, "sentence_prediction": 30, "masked_lm": 30}
LIMITS["sentence_embedding"] = 30


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
    if kind == "translation":
        parts = [text[i : i + longest] for i in range(0, len(text), longest)]
        answers = [export_cases.expected(case, model, part) for part in parts]
        lengths = [len(answer.split()) for answer in (*answers, *[printed][: len(parts) == 1])]
        if max(lengths, default=0) < longest and not case.ends:
            assert printed == " ".join(answers)  # of an empty line, nothing
        return  # at the longest length fairseq forces an end; `ends`: see export_parity.SEARCH
    reference = export_cases.expected(case, model, text)
    if isinstance(reference, list):
        assert [float(x) for x in printed.split(" ")] == pytest.approx(reference, abs=1e-4)
    elif isinstance(reference, float):
        assert float(printed) == pytest.approx(reference, abs=1e-4)
    else:
        assert printed == reference


def test_odd_lines_get_fairseqs_answers_and_long_ones_a_notice(exported):
    case, folder, model, _ = exported
    longest, is_cut = LIMITS[case.pair[1]], case.pair[1] == "translation"
    lines = odd_lines(longest)
    printed, notices = export_cases.use_and_notices(folder, lines, "--chunk", "20")
    assert len(printed) == len(lines) > use_script.MANY_LINES
    long = [i for i, line in enumerate(lines) if len(line.split()) > longest]
    texts = []
    for i in long:
        size = len(lines[i].split())
        end = f"translated in {-(-size // longest)} parts" if is_cut else "no answer"
        limit = f"{size} tokens, but the model supports {longest} at most"
        texts.append(f"line {i + 1}: {limit}: {end}")
    assert len(long) == 2 and [x for x in notices if "translation is cut at" not in x] == texts
    for i, (line, answer) in enumerate(zip(lines, printed, strict=True)):
        if i in long and not is_cut:
            assert answer == ""
        else:
            check_answer(case, model, line, answer)


@pytest.mark.parametrize("name", ["classes", "language_modeling"])
def test_only_long_lines(name, exports):
    case, folder, *_ = exports(name)
    lines = ["w1 " * 100] * (use_script.MANY_LINES + 1) + ["w1"]
    printed, notices = export_cases.use_and_notices(folder, lines)
    assert printed[:-1] == [""] * (len(lines) - 1) and printed[-1] != ""
    assert len(notices) == len(lines) - 1 and notices[-1].startswith(f"line {len(lines) - 1}: ")


@pytest.mark.parametrize("separator", [(), (2,)])
@torch.no_grad()
def test_two_sentences_of_a_pair_are_separated_by_a_tab(separator, tmp_path):
    def write(folder):
        shutil.copytree(toy.write_labeled(folder) / "input0", folder / "input1")
        for seed, split in enumerate(("train", "valid")):
            toy.write_split(folder / "input1" / split, toy.sentences(37, 5 + seed))
        return folder

    flags = ("--separator-token", *separator) if separator else ()
    case = CASES["regression"]  # its answers are numbers, which tell more than classes
    case = replace(case, write=write, flags=(*case.flags, *flags))
    path, data, model = export_cases.make(case, tmp_path)
    out = tmp_path / "out"
    assert export_cases.export(case, path, out, "--data", data) == 0
    assert "two sentences per line, separated by a tab" in (out / "README.md").read_text()
    pairs = [(f"w{i}", f"w{i * 7 % 26} w{i * 5 % 26}") for i in range(20)]
    wrong = ["w1 w2", "w1\tw2\tw3", f"w1\t{' '.join(['w2'] * (29 - len(separator)))}"]
    printed, notices = export_cases.use_and_notices(out, [*map("\t".join, pairs), "\t", *wrong])
    rows = [[encoded(model, text) for text in pair] for pair in pairs]
    batch = ([0, *first, 2, *separator, *second, 2] for first, second in rows)
    name = {"classification_head_name": "sentence_classification_head"}
    outputs = [model(torch.tensor([row]), features_only=True, **name)[0] for row in batch]
    values = [float(output) for output in outputs]
    assert [float(x) for x in printed[:20]] == pytest.approx(values, abs=1e-4)
    assert max(values) - min(values) > 0.01 and printed[20] != "" and printed[21:] == [""] * 3
    expected = "expected two sentences separated by a tab, got"
    assert notices[:2] == [f"line 22: {expected} 1: no answer", f"line 23: {expected} 3: no answer"]
    assert notices[2].startswith("line 24: 30 tokens, but the") is not bool(separator)


def test_lines_of_any_bytes_and_flags(exports):
    _, folder, *_ = exports("translation")
    lines = ["w5 w6", b"w5 \xff w6", b"\x00", "", b"w7\r", "w7 w7"]
    flags = ("--beam", "1", "--inter-threads", "2", "--intra-threads", "1")
    printed, notices = export_cases.use_and_notices(folder, lines, *flags)
    assert len(printed) == len(lines) and printed[3] == "" and all(printed[:3])
    assert notices == ["line 2: not UTF-8: the invalid bytes are replaced"]
    assert printed == export_cases.use_and_notices(folder, lines, *flags[:2], "--chunk", "1")[0]
    script = folder / script_parity.SCRIPT
    done = subprocess.run([sys.executable, script, "--chunk", "0"], capture_output=True, text=True)
    assert done.returncode == 2 and "--chunk: expected 1 or more, got 0" in done.stderr


def test_a_long_line_is_cut_at_the_ends_of_sentences(exports):
    _, folder, *_ = exports("translation")
    parts = runpy.run_path(str(folder / script_parity.SCRIPT))["parts"]
    longest = LIMITS["translation"]
    sentence = [*("w" for _ in range(8)), "w."]
    for text in (sentence * 9, ["w"] * 100, ["w@@"] * 100, [*sentence, *(["w"] * 50)], []):
        cut = parts(text, 1)
        assert [x for part in cut for x in part] == text
        assert all(0 < len(part) <= longest for part in cut)
        if "w." in text:
            assert cut[0][-1] == "w." and len(cut[0]) == min(36, 9 * text.count("w."))


def test_an_answer_comes_before_the_next_line(exports):
    _, folder, *_ = exports("classes")
    command = [sys.executable, folder / script_parity.SCRIPT, "--chunk", "1"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        for line in ("w1 w2", "w3"):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() in ("0", "1", "2")
        process.stdin.close()
        assert process.stdout.read() == "" and process.wait() == 0


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
