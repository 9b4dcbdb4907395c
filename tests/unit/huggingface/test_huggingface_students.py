"""Our students in Hugging Face's classes, and the released MASS form in fairseq."""

import json

import pytest
import torch

pytest.importorskip("tokenizers")

import toy
from hf_folders import MAKERS, TEXT, T, gpt2, roberta
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface import hf_parity

SMALL = [
    *("--encoder-layers", 2, "--encoder-embed-dim", 32, "--encoder-attention-heads", 2),
    *("--encoder-ffn-embed-dim", 48, "--decoder-layers", 1, "--decoder-embed-dim", 32),
    *("--decoder-attention-heads", 2, "--decoder-ffn-embed-dim", 40),
]
LM = ["--decoder-layers", 2, "--decoder-embed-dim", 32, "--decoder-attention-heads", 2]
BEFORE = ["--encoder-normalize-before", "--decoder-normalize-before"]
LEARNED = ["--encoder-learned-pos", "--decoder-learned-pos"]
TRANSLATION = ["--task", "translation", "--max-source-positions", 40, "--max-target-positions", 40]
STUDENTS = {
    "mass": (["--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION], "BartFor"),
    "mass, own encoder table": (
        ["--arch", "transformer_mass_student", *SMALL, *TRANSLATION],
        "Bart",
    ),
    "mass pre-training": (
        ["--arch", "mass_tiny", *SMALL, "--task", "masked_seq2seq", "--tokens-per-sample", 40],
        "BartFor",
    ),
    "mbart": (
        ["--arch", "transformer", *SMALL, *TRANSLATION, *BEFORE, *LEARNED, "--layernorm-embedding"],
        "MBart",
    ),
    "m2m": (["--arch", "transformer", *SMALL, *TRANSLATION, *BEFORE], "M2M100"),
    "fsmt": (["--arch", "transformer", *SMALL, *TRANSLATION], "FSMT"),
    "gpt2": (
        ["--arch", "transformer_lm_gpt2_micro", *LM, "--task", "language_modeling"]
        + ["--tokens-per-sample", 40],
        "GPT2LMHead",
    ),
    "bert": (
        ["--arch", "roberta_tiny", *SMALL[:8], "--task", "masked_lm", "--tokens-per-sample", 40],
        "RobertaForMaskedLM",
    ),
}


def student(name, folder):
    """A checkpoint of a random student, and its data."""
    flags, _ = STUDENTS[name]
    write = toy.write_parallel if "translation" in flags else toy.write_monolingual
    data = write(folder / "data")
    _, model, _ = toy.build(data, *flags)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    cfg = toy.parse(data, *flags)
    return toy.save_model(folder / "student.pt", cfg, model.eval()), data


@pytest.mark.parametrize("name", STUDENTS)
def test_students_compute_the_same_in_their_class(name, tmp_path):
    path, data = student(name, tmp_path)
    out = tmp_path / "hf"
    assert main(["convert", "--from", "fairseq", str(path), "--to", "hf", str(out)]) == 0
    architecture = json.loads((out / "config.json").read_text())["architectures"][0]
    assert architecture.startswith(STUDENTS[name][1])
    assert hf_parity.largest_difference(path, data, out) <= 1e-4
    ids = T.AutoTokenizer.from_pretrained(out)("w3 w0 unheard").input_ids
    assert [i for i in ids if i not in (0, 2)] == [7, 4, 3]


def test_a_classifier_takes_its_head_along(tmp_path):
    data = toy.write_labeled(tmp_path / "data")
    flags = ["--arch", "roberta_tiny", *SMALL[:8], "--task", "sentence_prediction"]
    flags += ["--criterion", "sentence_prediction", "--num-classes", 3, "--init-token", 0]
    _, model, _ = toy.build(data, *flags)
    path = toy.save_model(tmp_path / "student.pt", toy.parse(data, *flags), model.eval())
    out = tmp_path / "hf"
    assert main(["convert", "--from", "fairseq", str(path), "--to", "hf", str(out)]) == 0
    assert hf_parity.largest_difference(path, data, out) <= 1e-5
    theirs = T.RobertaForSequenceClassification.from_pretrained(out).eval()
    tokens = torch.tensor([[0, 5, 9, 2]])
    with torch.no_grad():
        ours = model(tokens, classification_head_name="sentence_classification_head")[0]
        assert torch.allclose(ours, theirs(input_ids=tokens).logits, atol=1e-5)


def as_released(model, pad_row):
    """A stock transformer as fairseq 0.8 and the MASS release would have stored it.

    fairseq row i of the vocabulary becomes row `pad_row[i]`; position p moves from row p + 2 to
    p + 1, as the padding index is 0.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        if name.endswith(("embed_tokens.weight", "output_projection.weight")):
            moved = torch.empty_like(tensor)
            moved[torch.tensor(pad_row)] = tensor
            if not name.startswith("decoder.output"):
                state[name] = moved
        elif name.endswith("embed_positions.weight"):
            state[name] = tensor[1:]
        elif not any(f".{x}_proj." in name for x in "qkv"):
            state[name.replace("layernorm_embedding", "emb_layer_norm")] = tensor
    for name in model.state_dict():
        if ".q_proj." in name:
            parts = [model.state_dict()[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
            state[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return state


def test_a_released_mass_file(tmp_path):
    data = toy.write_parallel(tmp_path / "data")
    flags = ["--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION]
    task, model, _ = toy.build(data, *flags)
    symbols = task.source_dictionary.symbols
    names = dict(zip(("<s>", "<pad>", "</s>", "<unk>"), ("[CLS]", "[PAD]", "[SEP]", "[UNK]")))
    names["<mask>"] = "[MASK]"
    pieces = ["[PAD]", *symbols[4:9], "[UNK]", "[CLS]", "[SEP]", "[MASK]", *symbols[9:-1]]
    rows = [pieces.index(names.get(s, s)) for s in symbols]
    torch.save(as_released(model, rows), tmp_path / "mass.pt")
    (tmp_path / "dict.txt").write_text("".join(f"{piece} 0\n" for piece in pieces))
    argv = ["convert", "--from", "mass", str(tmp_path / "mass.pt"), "--to", "fairseq"]
    assert main([*argv, str(tmp_path / "out"), "--heads", "2", "--langs", "sv", "en"]) == 0

    from fairseq import checkpoint_utils

    models, _, found = checkpoint_utils.load_model_ensemble_and_task(
        [str(tmp_path / "out" / "model.pt")]
    )
    order = [found.source_dictionary.index(s) for s in symbols]
    assert found.source_dictionary.index("[MASK]") == found.source_dictionary.unk()
    tokens = torch.tensor([[5, 9, 12, 2]])
    previous = torch.tensor([[2, 8, 7]])
    other = torch.tensor(order)
    with torch.no_grad():
        ours = model.eval()(tokens, torch.tensor([4]), previous)[0]
        theirs = models[0].eval()(other[tokens], torch.tensor([4]), other[previous])[0]
    assert torch.allclose(ours, theirs[..., other], atol=1e-5)
    assert (tmp_path / "out" / "vocab.txt").read_text().split("\n")[:-1] == pieces


def test_a_mass_file_that_does_not_fit_its_dictionary(tmp_path, capsys):
    data = toy.write_parallel(tmp_path / "data")
    _, model, _ = toy.build(data, "--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION)
    state = as_released(model, list(range(31)))
    state["encoder.layers.0.more"] = torch.ones(1)
    del state["decoder.emb_layer_norm.bias"]
    torch.save(state, tmp_path / "mass.pt")
    argv = ["convert", "--from", "mass", str(tmp_path / "mass.pt"), "--to", "fairseq"]
    assert main([*argv, str(tmp_path / "out")]) == 2
    assert "dict.txt: no such file" in capsys.readouterr().err
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    (tmp_path / "dict.txt").write_text("".join(f"{piece} 0\n" for piece in pieces))
    assert main([*argv, str(tmp_path / "out")]) == 2
    assert "expected the 31 rows" in capsys.readouterr().err
    pieces += [f"x{i}" for i in range(27)]
    (tmp_path / "dict.txt").write_text("".join(f"{piece} 0\n" for piece in pieces))
    assert main([*argv, str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "encoder.layers.0.more" in error
    assert "decoder.emb_layer_norm.bias" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", ["gpt2", "roberta"])
def test_a_converted_model_teaches_and_is_fine_tuned(family, tmp_path, capsys):
    make, task, criterion = {
        "gpt2": (gpt2, "language_modeling", "kd_clm"),
        "roberta": (roberta, "masked_lm", "kd_mlm"),
    }[family]
    out = tmp_path / "teacher"
    argv = ["convert", "--from", "hf", str(make(tmp_path / "hf")), "--to", "fairseq", str(out)]
    assert main(argv) == 0
    shown = capsys.readouterr().out.split("model: ")[1].splitlines()[0].split()
    for seed, split in enumerate(("train", "valid")):
        texts = [[i + 1 for i in t[:-1]] + [2] for t in toy.sentences(20, seed, words=100)]
        toy.write_split(out / split, texts)  # symbol 4 is <mask> in one of them
    run = ["--max-tokens", 200, "--max-update", 2, "--lr", 0.001, "--lr-scheduler", "fixed"]
    saved = tmp_path / "saved"
    flags = ["--criterion", criterion, "--kd-teacher", out / "model.pt", "--save-dir", saved]
    toy.train(out, *shown, "--finetune-from-model", out / "model.pt", *flags, *run)
    back = ["--from", "fairseq", str(saved / "checkpoint_last.pt"), "--data", str(out)]
    assert main(["convert", *back, "--to", "hf", str(tmp_path / "back")]) == 0
    path = saved / "checkpoint_last.pt"
    assert hf_parity.largest_difference(path, out, tmp_path / "back") <= 1e-4
    tuned, before = (T.AutoModel.from_pretrained(tmp_path / x) for x in ("back", "hf"))
    assert type(tuned) is type(before)
    assert T.AutoTokenizer.from_pretrained(tmp_path / "back")("the cat").input_ids


@pytest.mark.parametrize(
    ("family", "flags"),
    [
        ("bert", ["--arch", "roberta_tiny", *SMALL[:8], "--task", "masked_lm"]),
        ("gpt2", ["--arch", "transformer_lm_gpt2_micro", *LM, "--task", "language_modeling"]),
        ("marian", ["--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION]),
    ],
)
def test_a_student_of_another_shape_keeps_its_teachers_tokenizer(family, flags, tmp_path):
    source, out = MAKERS[family](tmp_path / "hf"), tmp_path / "teacher"
    argv = ["convert", "--from", "hf", str(source), "--to", "fairseq", str(out)]
    assert main([*argv, *(["--segment", "0"] if family == "bert" else [])]) == 0
    languages = ["source", "target"] if "translation" in flags else []
    flags = [*flags, *(["--source-lang", "source", "--target-lang", "target"] if languages else [])]
    flags += [] if languages else ["--tokens-per-sample", 40]
    text = [[*range(5, 12), 2]] * 3
    for name in [f"train.source-target.{x}" for x in languages] or ["train"]:
        toy.write_split(out / name, text)
    _, model, _ = toy.build(out, *flags)
    path = toy.save_model(tmp_path / "student.pt", toy.parse(out, *flags), model.eval())
    argv = ["convert", "--from", "fairseq", str(path), "--data", str(out), "--to", "hf"]
    assert main([*argv, str(tmp_path / "student")]) == 0
    assert hf_parity.largest_difference(path, out, tmp_path / "student") <= 1e-4
    loaded = [T.AutoTokenizer.from_pretrained(x) for x in (source, tmp_path / "student")]
    assert loaded[0](TEXT).input_ids == loaded[1](TEXT).input_ids
