"""Commands come from logs or from files of flags."""

from lightpaff_fairseq.report.commands import find_command, quote_words


def test_quotes_that_a_recipe_lost_are_put_back():
    flags = 'data --adam-betas (0.9, 0.98) --eval-bleu-args {"beam": 5} --lr 1e-3'
    assert quote_words(flags) == [
        *("data", "--adam-betas", "'(0.9, 0.98)'", "--eval-bleu-args", "'{\"beam\": 5}'"),
        *("--lr", "1e-3"),
    ]


def test_a_command_comes_from_the_log_or_the_flags_or_is_said_to_be_unknown(tmp_path):
    (flags := tmp_path / "flags").write_text("m OUT/data --lr 1\n")
    from_log = find_command({"command": "fairseq-train data --lr 1"}, flags, "m")
    assert from_log.text == "fairseq-train data --lr 1" and "in the log" in from_log.source
    from_flags = find_command({"command": "sweep.py --out x"}, flags, "m")
    assert from_flags.text == "fairseq-train OUT/data --lr 1"
    unknown = find_command({}, tmp_path / "none", "m")
    assert unknown.text == "" and "not recorded" in unknown.source
    shared = find_command({"command": "sweep.py --out x"}, None, "m")
    assert shared.text == "sweep.py --out x" and not shared.is_exact
