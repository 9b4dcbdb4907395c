"""What `lightpaff distill` refuses before any work, in one line each."""

import shutil

import pytest

import toy
from lightpaff_fairseq.cli.main import main as lightpaff
from lightpaff_fairseq.distill.settings import tokens_to_keep

pytestmark = pytest.mark.usefixtures("forked")
WORDS = ("--task", "translation", "--arch", "transformer_mass_tiny", "--criterion", "cross_entropy")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    data = toy.write_parallel(folder / "data")
    _, model, _ = toy.build(data, *WORDS)
    return toy.save_model(folder / "teacher.pt", toy.parse(data, *WORDS), model), data


@pytest.fixture
def refuse(teacher, tmp_path, capsys):
    """Run the command, which must fail without a trace, and return its error."""

    def run(data=None, *words):
        out = tmp_path / "out"
        flags = ["--teacher", str(teacher[0]), "--data", str(data or teacher[1])]
        assert lightpaff(["distill", *flags, "--out", str(out), *map(str, words)]) == 2
        assert not out.exists()
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        return error

    return run


def test_a_split_is_missing(teacher, refuse, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(teacher[1], data)
    for path in data.glob("test.*"):
        path.unlink()
    assert "--data" in (error := refuse(data)) and "the split test is missing" in error


def test_another_dictionary(refuse, tmp_path):
    data = toy.write_parallel(tmp_path / "data")
    text = (data / "dict.en.txt").read_text().splitlines()
    for side in ("sv", "en"):
        (data / f"dict.{side}.txt").write_text("\n".join([text[1], text[0], *text[2:]]) + "\n")
    error = refuse(data)
    assert "symbol 4 is 'w0' in the training data and 'w1' in the data here" in error


def test_several_folders_that_are_not_one_corpus(teacher, refuse, tmp_path, capsys):
    """The second one needs no dictionaries and no other splits."""
    more = shutil.copytree(teacher[1], tmp_path / "more")
    data = f"{teacher[1]}:{more}"
    words = (more / "dict.en.txt").read_text().replace("w3 ", "v3 ")
    (more / "dict.en.txt").write_text(words)
    assert f"--data {more}/dict.en.txt: expected the symbols of {teacher[1]}/dict.en" in (
        error := refuse(data)
    )
    assert "symbol 7 is 'w3' in the first and 'v3' in the second" in error
    assert lightpaff(["cache-teacher", data, "--path", "t.pt", "--out", "a:b"]) == 2
    assert f"DATA {more}/dict.en.txt: expected the symbols of" in capsys.readouterr().err
    for path in (*more.glob("dict.*"), *more.glob("train.*"), *more.glob("test.*")):
        path.unlink()
    assert f"--data {more}: the split train is missing" in refuse(data)

    labeled = toy.write_labeled(tmp_path / "labeled")
    words = ("--task", "sentence_prediction", "--arch", "roberta_tiny", "--num-classes", 3)
    words = (labeled, *words, "--max-positions", 24, "--criterion", "sentence_prediction")
    _, model, _ = toy.build(*words)
    path = toy.save_model(tmp_path / "classifier.pt", toy.parse(*words), model)
    error = refuse(f"{labeled}:{more}", f"teacher={path}", "serve=none")
    assert "expected one folder: fairseq's task sentence_prediction reads no more" in error


def test_data_of_another_task(refuse, tmp_path):
    data = toy.write_monolingual(tmp_path / "data")
    assert "expected binarized data of the teacher's task translation" in refuse(data)


def test_a_size_below_the_vocabulary(refuse):
    assert "--params 300: expected at least" in refuse(None, "params=300")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["keep_tokens=3"], "--keep-tokens 3: --keep 3: expected 5 (5 special tokens"),
        (["keep_tokens=99"], "--keep-tokens 99: --keep 99: expected 5 (5 special tokens"),
        (
            ["keep_tokens=0"],
            "--keep-tokens 0: expected a number of tokens, as 2500, or a share, as",
        ),
        (["keep_tokens=101%"], "--keep-tokens 101%: expected a number of tokens, as 2500, or"),
        (["keep_tokens=0.99"], "--keep-tokens 0.99: expected a number of tokens, as 2500, or"),
        (["--tokenizer", "."], "--tokenizer .: expected a folder of lightpaff convert, got no"),
        (["--tokenizer", __file__], ": expected a folder of lightpaff convert, got no"),
        (["--tokenizer", ".", "--sentencepiece-model", __file__], "expected one of them, got both"),
    ],
)
def test_tokens_that_cannot_be_kept(refuse, words, message):
    assert message in refuse(None, *words)


def test_a_number_or_a_share_of_tokens():
    assert tokens_to_keep("2500") == ("--keep", "2500")
    assert tokens_to_keep("99.5%") == ("--coverage", "0.995")
    wrong = ("", "%", "-5", "0%", "nan%", "1e3", "99.5", "\u0664")
    assert [tokens_to_keep(text) for text in wrong] == [None] * len(wrong)


def test_a_larger_student(refuse):
    assert "--params 9G: expected fewer than the teacher's" in refuse(None, "params=9G")


def test_a_pretrained_teacher_of_another_task(teacher, refuse):
    words = ("--pretrained-teacher", teacher[0], "--text", teacher[1])
    assert "expected a model of the task masked_seq2seq" in refuse(None, *words)


def test_sequences_of_a_model_that_does_not_translate(refuse, tmp_path, capsys):
    data = toy.write_monolingual(tmp_path / "data")
    words = ("--task", "language_modeling", "--arch", "transformer_lm_gpt2_micro")
    words = (data, *words, "--tokens-per-sample", 20, "--criterion", "cross_entropy")
    _, model, _ = toy.build(*words)
    path = toy.save_model(tmp_path / "lm.pt", toy.parse(*words), model)
    flags = ["--teacher", str(path), "--data", str(data), "--out", str(tmp_path / "out")]
    assert lightpaff(["distill", *flags, "--sequence-kd", "yes"]) == 2
    assert (
        "--sequence-kd yes: expected a teacher of the task translation" in capsys.readouterr().err
    )
    assert lightpaff(["distill", *flags, "--keep-tokens", "9", "--serve", "none"]) == 2
    assert "--keep-tokens 9: expected a teacher that translates or" in capsys.readouterr().err


@pytest.mark.parametrize("serve", ["none", "hf"])
def test_a_shortlist_without_ctranslate2(refuse, serve):
    error = refuse(None, "--shortlist", "--serve", serve)
    assert (
        "--shortlist: expected a teacher of the task translation and --serve ctranslate2" in error
    )


def test_test_sentences_that_are_too_long(teacher, refuse, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(teacher[1], data)
    for side in ("sv", "en"):
        toy.write_split(data / f"test.sv-en.{side}", [[*[4] * 1200, 2]] * 3)
    assert "3 samples of the split test are longer than the teacher's" in refuse(data)


def test_a_start_of_another_family(refuse, tmp_path):
    data = toy.write_monolingual(tmp_path / "data")
    words = (data, "--task", "language_modeling", "--arch", "transformer_lm_gpt2_micro")
    words = (*words, "--tokens-per-sample", 20, "--criterion", "cross_entropy")
    _, model, _ = toy.build(*words)
    path = toy.save_model(tmp_path / "lm.pt", toy.parse(*words), model)
    assert f"--init {path}: expected a student of the teacher's family" in refuse(
        None, f"init={path}"
    )


def test_a_start_with_other_tokens_of_the_same_number(refuse, tmp_path):
    data = toy.write_parallel(tmp_path / "data")
    for side in ("sv", "en"):
        path = data / f"dict.{side}.txt"
        path.write_text(path.read_text().replace("w5 ", "v5 "))
    _, model, _ = toy.build(data, *WORDS)
    path = toy.save_model(tmp_path / "student.pt", toy.parse(data, *WORDS), model)
    error = refuse(None, f"init={path}")
    assert f"dictionary that --init {path} was trained with" in error
    assert "symbol 9 is 'v5' in the training data and 'w5' in the data here" in error


def test_a_start_with_other_positions(teacher, refuse, tmp_path):
    words = (teacher[1], *WORDS, "--max-source-positions", 30, "--encoder-layers", 1)
    _, model, _ = toy.build(*words)
    path = toy.save_model(tmp_path / "student.pt", toy.parse(*words), model)
    error = refuse(None, f"init={path}", "serve=none", "max_tokens=200")
    assert "--init" in error
    assert "encoder.embed_positions.weight is (32, 96) in the checkpoint, (1026, 96) here" in error


def test_a_student_that_does_not_fit_into_the_teacher(refuse):
    error = refuse(None, "arch='transformer_mass_small'")
    assert "--encoder-embed-dim: expected from 1 to the teacher's 96, got 256" in error
    assert "--decoder-layers: expected from 1 to the teacher's 2, got 3" in error


def test_a_format_that_does_not_take_the_model(refuse):
    assert "--to onnx does not support a transformer model" in refuse(None, "serve=onnx:int8")


def test_a_folder_of_something_else(teacher, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    flags = ["--teacher", str(teacher[0]), "--data", str(teacher[1]), "--out", str(out)]
    assert lightpaff(["distill", *flags]) == 2
    assert "expected an empty folder, or one of lightpaff distill" in capsys.readouterr().err
    assert [x.name for x in out.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_a_training_that_diverges_in_its_first_updates(refuse):
    words = ("smaller=2", "lr=9", "warmup_updates=0", "serve=none", "max_tokens=60")
    error = refuse(None, *words, "train_flags='--clip-norm 0 --adam-eps 0'")
    assert error.startswith("lightpaff distill: error: --lr, --train-flags")
    assert "FloatingPointError" in error or "expected a finite loss" in error


@pytest.mark.slow
def test_flags_that_fairseq_does_not_know(refuse):
    error = refuse(None, "smaller=2", "serve=none", "train_flags='--no-such-flag 1'")
    assert "--train-flags" in error and "unrecognized arguments: --no-such-flag 1" in error
