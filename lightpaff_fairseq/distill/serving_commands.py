"""The commands that export the student and time what is served."""

from .commands import SERVED, Commands, Words
from .data_info import TEST
from .schedule import CLASSIFICATION, TRANSLATION
from .steps import LIGHTPAFF

MOST_SENTENCES = 2000  # of a split, to time and to score the served student on


def export(commands: Commands, target: str, pairs: str) -> Words:
    """Return the export of the student to a format, as `ctranslate2:int8`.

    Args:
        pairs: folders of the training pairs, for a shortlist.
    """
    name, _, quantization = target.partition(":")
    words = [LIGHTPAFF, "export", "--path", commands.at("student.pt"), "--to", name]
    words += ["--out", commands.at(SERVED), "--data", commands.data.first]
    if quantization:
        words += ["--quantization", quantization]
    if quantization or is_searched(commands.teacher.task, target):
        words += ["--max-drop", f"{commands.settings.max_drop:g}"]
    if quantization and commands.teacher.task == CLASSIFICATION:
        words += ["--sentences", str(MOST_SENTENCES)]
    if commands.teacher.task == TRANSLATION:
        words += ["--remove-bpe", commands.remove_bpe]
    if commands.settings.shortlist:
        words += ["--shortlist", pairs]
    if commands.settings.sentencepiece_model:
        words += ["--sentencepiece-model", str(commands.settings.sentencepiece_model)]
    if commands.settings.tokenizer and name != "ctranslate2":
        words += ["--tokenizer", str(commands.settings.tokenizer)]
    return tuple(words)


def benchmark(commands: Commands, teacher: str, target: str, output: str) -> Words:
    """Return the command that times the teacher, the student, and the served student.

    A translation model is timed from its folder, with the beam that its export chose.
    """
    words = [LIGHTPAFF, "benchmark", "inference", "--task", commands.teacher.task, "--teacher"]
    words += [commands.at(teacher), "--student", commands.at("student.pt")]
    words += ["--data", commands.data.first, "--threads", "1", "--json", commands.at(output)]
    words += ["--sentences", str(min(MOST_SENTENCES, commands.data.sentences[TEST]))]
    if is_searched(commands.teacher.task, target):
        return (*words, "--backends", "fairseq", "--peer", commands.at(SERVED))
    return (*words, "--backends", target.replace(":", "-"))


def is_searched(task: str, target: str) -> bool:
    """Return whether the export to `target` chooses a beam."""
    return task == TRANSLATION and target.partition(":")[0] == "ctranslate2"
