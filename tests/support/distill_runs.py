"""Teachers and data of every family for `lightpaff distill`."""

import shutil

import toy

WIDE = ("--encoder-embed-dim", 32, "--encoder-ffn-embed-dim", 128)
TEACHERS = {
    "translation": (
        *("--arch", "transformer_mass_tiny", *WIDE, "--encoder-layers", 3, "--decoder-layers", 3),
        *("--max-source-positions", 32, "--max-target-positions", 32),
    ),
    "language_modeling": ("--arch", "transformer_lm_gpt2_micro", "--tokens-per-sample", 32),
    "sentence_prediction": (
        *("--arch", "roberta_tiny", "--num-classes", 3, "--init-token", 0),
        *("--max-positions", 24),
    ),
}
CRITERIONS = {"language_modeling": "cross_entropy", "sentence_prediction": "sentence_prediction"}
WRITE = {
    "translation": toy.write_parallel,
    "language_modeling": toy.write_monolingual,
    "sentence_prediction": toy.write_labeled,
}


def write_data(folder, task):
    WRITE[task](folder, count=40)
    for path in folder.rglob("valid*"):  # two of the toy data sets have no test split
        copy = path.with_name(path.name.replace("valid", "test"))
        if not copy.exists():
            shutil.copyfile(path, copy)
    return folder


def save(path, *words):
    """Write an untrained model."""
    _, model, _ = toy.build(*words)
    return toy.save_model(path, toy.parse(*words), model)
