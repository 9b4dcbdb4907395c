"""`lightpaff trim-vocab`: the same model on kept tokens, data as the cut tokenizer makes them."""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import Dictionary, data_utils

import toy
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.trimming.cut_list import KeptTokens
from lightpaff_fairseq.trimming.rebinarize import Rewriter
from lightpaff_fairseq.trimming.sentencepiece_file import cut_pieces
from lightpaff_fairseq.trimming.subword_files import ByteBpe, SentencePieces, WordPieces
from message_flags import check_flags
from vocabularies import piece_model

SIZES = "--{0}-layers 1 --{0}-embed-dim 8 --{0}-ffn-embed-dim 12 --{0}-attention-heads 2"
ENCODER, DECODER = SIZES.format("encoder").split(), SIZES.format("decoder").split()
TRANSLATION = ["--task", "translation", "--criterion", "kd_ss", "--arch", "transformer"]
KINDS = {
    "separate tables": [*TRANSLATION, *ENCODER, *DECODER],
    "tied tables": [*TRANSLATION, *ENCODER, *DECODER, "--share-all-embeddings"],
    "masked_lm": ["--task", "masked_lm", "--criterion", "kd_mlm", "--arch", "roberta", *ENCODER],
    "language_modeling": (
        "--task language_modeling --criterion kd_clm --arch transformer_lm --tokens-per-sample 32"
    ).split()
    + DECODER,
}
TEXT = ["the cat sat on the mat", "a dog ate my homework twice", "the theme of the thesis"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def save(folder, kind, seed=1):
    """Make data and an untrained model; return the model's file."""
    pair = "translation" in KINDS[kind]
    data = (toy.write_parallel if pair else toy.write_monolingual)(folder / "data")
    argv = [data, *KINDS[kind], "--kd-lambda", 0, "--seed", seed]
    _, model, _ = toy.build(*argv)
    return toy.save_model(folder / "model.pt", toy.parse(*argv, "--max-tokens", 500), model)


def trim(*words):
    return main(["trim-vocab", *map(str, words)])


def load(path):
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)])
    return models[0].eval(), task


def kept_of(folder):
    (side,) = json.loads((folder / "trim.json").read_text())["sides"].values()
    return side["kept"]


@pytest.fixture(scope="module", params=KINDS)
def trimmed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trimmed")
    path = save(folder, request.param)
    assert trim("--path", path, "--data", folder / "data", "--keep", 18, "--out", folder / "t") == 0
    return request.param, folder


@torch.no_grad()
def test_the_trimmed_model_is_the_whole_one_on_kept_tokens(trimmed):
    kind, folder = trimmed
    (whole, before), (small, after) = load(folder / "model.pt"), load(folder / "t" / "model.pt")
    kept = torch.tensor(kept_of(folder / "t"))
    assert len(after.source_dictionary) == len(kept) == 18 < len(before.source_dictionary)
    symbols = [before.source_dictionary.symbols[i] for i in kept]
    assert symbols == after.source_dictionary.symbols and "<mask>" in symbols
    tokens = torch.randint(4, 18, (3, 7), generator=torch.Generator().manual_seed(2))
    results = []
    for model, ids in ((small, tokens), (whole, kept[tokens])):
        inputs = (ids, torch.full((3,), 7), ids) if hasattr(model, "decoder") else (ids,)
        inputs = inputs[:1] if kind == "language_modeling" else inputs
        results.append([model(*inputs, features_only=x)[0] for x in (True, False)])
    (hidden, logits), (expected, every) = results
    assert torch.equal(hidden, expected)
    renormalized = every.log_softmax(-1)[..., kept]
    renormalized = renormalized - renormalized.logsumexp(-1, keepdim=True)
    assert torch.allclose(logits.log_softmax(-1), renormalized, atol=1e-5)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (whole, small)]
    record = json.loads((folder / "t" / "trim.json").read_text())
    assert sizes[1] < sizes[0] and record["summary"]["parameters"] == sizes
    if kind == "tied tables":
        tensors = toy.checkpoint(folder / "t" / "model.pt")["model"]
        tables = {tensors[f"{x}coder.embed_tokens.weight"].data_ptr() for x in ("en", "de")}
        assert len(tables) == 1, "the file has two copies"


def test_the_most_frequent_tokens_are_kept_and_all_others_listed(trimmed):
    kind, folder = trimmed
    files = sorted((folder / "data").glob("train*.bin"))
    counts = np.zeros(31, dtype=int)
    for file in files:
        dataset = data_utils.load_indexed_dataset(str(file.with_suffix("")), None, "mmap")
        for i in range(len(dataset)):
            counts += np.bincount(dataset[i], minlength=31)
    kept = set(kept_of(folder / "t"))
    words = list(range(4, 30))
    assert min(counts[i] for i in words if i in kept) >= max(
        counts[i] for i in words if i not in kept
    )
    cut = [f"w{i - 4} {counts[i]}" for i in words if i not in kept]
    assert (folder / "t" / "cut.txt").read_text().splitlines() == cut


def test_a_student_cut_alike_learns_and_another_list_is_refused(tmp_path):
    path, data = save(tmp_path, "tied tables"), tmp_path / "data"
    student = save(tmp_path / "student", "separate tables", 2)
    (few := tmp_path / "few").mkdir()
    shutil.copytree(data, few, dirs_exist_ok=True)
    for language in ("sv", "en"):
        toy.write_split(few / f"train.sv-en.{language}", [[29, 28, 27, 2]])
    assert trim("--path", path, "--data", data, "--keep", 18, "--out", tmp_path / "t") == 0
    assert trim("--path", path, "--data", few, "--keep", 18, "--out", tmp_path / "other") == 0
    assert trim("--like", tmp_path / "t", "--path", student, "--out", tmp_path / "s") == 0
    assert kept_of(tmp_path / "s") == kept_of(tmp_path / "t") != kept_of(tmp_path / "other")
    half = ["--path", str(student), "--out", str(tmp_path / "half.pt"), "--dtype", "float16"]
    assert main(["strip", *half]) == 0
    assert trim("--like", tmp_path / "t", "--path", half[3], "--out", tmp_path / "h") == 0
    tensors = toy.checkpoint(tmp_path / "h" / "model.pt")["model"]
    assert tensors["encoder.embed_tokens.weight"].dtype == torch.float16
    new = tmp_path / "new_data"
    assert trim("--like", tmp_path / "t", "--rebinarize", data, "--out", new) == 0
    ids = {old: i for i, old in enumerate(kept_of(tmp_path / "t"))}
    for name in ("train.sv-en.sv", "valid.sv-en.en"):
        old, written = (
            data_utils.load_indexed_dataset(str(x / name), None, "mmap") for x in (data, new)
        )
        rows = [[ids.get(int(i), 3) for i in row] for row in old]
        assert [row.tolist() for row in written] == rows
    flags = [new, *KINDS["separate tables"], "--kd-teacher"]
    task, model, criterion = toy.build(*flags, tmp_path / "t" / "model.pt")
    criterion.train().before_training(model, lambda: 0)
    criterion.begin_epoch(1, "train")
    assert criterion(model, toy.batch(task, [0, 1]))[0].isfinite()
    task, model, criterion = toy.build(*flags, tmp_path / "other" / "model.pt")
    with pytest.raises(ValueError, match="dictionaries differ: symbol"):
        criterion.before_training(model, lambda: 0)


def check_rewriting(symbols, required, parts, encode, cut_files):
    """Compare rewritten tokens with the cut tokenizer's, for several random choices."""
    symbols = ["<s>", "<pad>", "</s>", "<unk>", *symbols]
    ids = {symbol: i for i, symbol in enumerate(symbols)}
    rng, respelled = random.Random(4), 0
    for _ in range(3):
        names = {x for x in symbols[4:] if x in required or rng.random() < 0.5}
        while more := {part for x in names for part in parts(x)} - names:
            names |= more
        kept = sorted({0, 1, 2, 3} | {ids[x] for x in names})
        side = KeptTokens(kept, [0, 1, 2, 3], "", "", symbols)
        files, encode_cut = cut_files(side.cut_symbols)
        rewriter, new = Rewriter(side, files), side.kept_symbols
        for line in [*TEXT, " ".join(reversed(TEXT[0].split())), "hat these"]:
            before = [ids.get(x, 3) for x in encode(line)]
            after = rewriter.rewrite(np.array([*before, 2]))
            expected = [x if x in new else "<unk>" for x in encode_cut(line)]
            assert [new[i] for i in after] == [*expected, "</s>"]
            if all(i in kept for i in before):
                assert encode_cut(line) == encode(line)
            respelled += not all(i in kept for i in before)
    assert respelled > 3


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_rewritten_pieces_are_what_the_cut_model_makes(kind, tmp_path):
    import sentencepiece

    path = tmp_path / "m.model"
    path.write_bytes(piece_model(TEXT * 20, kind))
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    symbols = [model.id_to_piece(i) for i in range(3, len(model))]
    whole = SentencePieces(path)

    def cut_files(cut):
        whole.write(cut, tmp_path)
        small = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / whole.name))
        assert not set(cut) & {x for line in TEXT for x in small.encode(line, out_type=str)}
        return SentencePieces(tmp_path / whole.name), lambda x: small.encode(x, out_type=str)

    encode = lambda line: model.encode(line, out_type=str)  # noqa: E731
    check_rewriting(symbols, whole.required(symbols), whole.parts, encode, cut_files)
    with pytest.raises(ValueError, match="cut off"):
        cut_pieces(path.read_bytes()[:-3], lambda piece: True)


@pytest.mark.hf
def test_rewritten_word_pieces_are_what_berts_tokenizer_makes(tmp_path):
    from transformers import BertTokenizer

    symbols = [*LETTERS, *(f"##{x}" for x in LETTERS), "the", "##at", "cat", "##se", "##me"]
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{x}\n" for x in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *symbols]))
    (tmp_path / "cut").mkdir()
    whole = WordPieces(path)

    def cut_files(cut):
        whole.write(cut, tmp_path / "cut")
        tokenizer = BertTokenizer(str(tmp_path / "cut" / "vocab.txt"))
        return WordPieces(tmp_path / "cut" / "vocab.txt"), tokenizer.tokenize

    required = whole.required(symbols) - {"q", "##m"}  # so that "homework" becomes <unk>
    check_rewriting(symbols, required, whole.parts, BertTokenizer(str(path)).tokenize, cut_files)


@pytest.mark.hf
def test_rewritten_bytes_are_what_the_cut_merges_make(tmp_path):
    from hf_folders import T, byte_bpe
    from lightpaff_fairseq.huggingface.tokenizers import read_merges, write_merges

    fast = T.PreTrainedTokenizerFast(tokenizer_object=byte_bpe(("<|endoftext|>",)))
    write_merges(read_merges(fast), tmp_path)
    (tmp_path / "cut").mkdir()
    names = ("encoder.json", "vocab.bpe")
    whole = ByteBpe(*(tmp_path / name for name in names))

    def cut_files(cut):
        whole.write(cut, tmp_path / "cut")
        files = ByteBpe(*(tmp_path / "cut" / name for name in names))
        return files, lambda line: [str(i) for i in files._encoder.encode(line)]

    symbols = [str(i) for i in json.loads((tmp_path / names[0]).read_text()).values()]
    encode = lambda line: [str(i) for i in whole._encoder.encode(line)]  # noqa: E731
    check_rewriting(symbols, whole.required(symbols), whole.parts, encode, cut_files)


BAD = [
    ("--keep 8 --coverage 0.9", "--keep, --coverage: expected one of them, got both"),
    ("", "expected --keep or --coverage (or --like), got none"),
    ("--keep 4", "--keep 4: expected 5 (5 special tokens, and 0 that spell all words) to 31"),
    ("--keep 32", "--keep 32: expected 5 (5 special"),
    ("--coverage 1.5", "--coverage 1.5: expected a share above 0, up to 1\n"),
    ("--keep 8 --langs xx", "--langs: expected languages of the model (one with --langs), got xx"),
    ("--keep 8 --split dev", "expected the split dev, got none"),
    ("--keep 8 --like {folder}", "--keep: expected without --like"),
    ("--keep 8 --rebinarize {folder}", "--rebinarize: expected with --like"),
    ("--keep 8 --tokenizer {folder}/model.pt", "expected a SentencePiece model"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    save(folder, "masked_lm")
    return folder


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_bad_input_is_one_line_and_leaves_nothing(flags, message, model, capsys):
    words = flags.format(folder=model).split()
    path, data = ("--path", model / "model.pt"), ("--data", model / "data")
    assert trim(*path, *data, *words, "--out", model / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert not (model / "out").exists()
    check_flags("trim-vocab", error)


def test_data_and_models_of_another_dictionary_are_refused(model, tmp_path, capsys):
    toy.write_monolingual(tmp_path / "data")
    other = toy.write_dictionary(tmp_path / "data" / "dict.txt", 25)
    assert isinstance(other, Dictionary)
    path, data = ("--path", model / "model.pt"), ("--data", tmp_path / "data")
    assert trim(*path, *data, "--keep", 9, "--out", tmp_path / "t") == 2
    assert "expected the dictionary of the model before it was cut" in capsys.readouterr().err
    assert trim(*path, "--data", model / "data", "--coverage", 1, "--out", tmp_path / "t") == 0
    alike = ("--like", tmp_path / "t", "--out", tmp_path / "s")
    assert trim(*alike, "--rebinarize", tmp_path / "data") == 2
    assert "--rebinarize" in capsys.readouterr().err
