"""A Naive Bayes classifier of bags of tokens: what a model needs no training on GPUs to beat."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score
from sklearn.naive_bayes import MultinomialNB

TRAIN = "train"


def naive_bayes_accuracy(task: Any, dataset: Any) -> float | None:
    """Train on the counts of the training split's tokens, and score on another split.

    Args:
        task: of `sentence_prediction`; dataset: the split, with classes as labels.
    Returns:
        the accuracy times 100, or None: there is no training split.
    """
    try:
        training = task.load_dataset(TRAIN)
    except (AssertionError, FileNotFoundError):
        return None
    size = len(task.source_dictionary)
    model = MultinomialNB().fit(*_counts(training, size))
    counts, labels = _counts(dataset, size)
    return round(100 * float(accuracy_score(labels, model.predict(counts))), 2)


def _counts(dataset: Any, size: int) -> tuple[csr_matrix, Sequence[int]]:
    """Return how often each token occurs in each sample `(N, V)`, and the labels."""
    samples = [dataset[i] for i in range(len(dataset))]
    tokens = [sample["net_input.src_tokens"].numpy() for sample in samples]
    ends = np.cumsum([0, *map(len, tokens)])
    ones = np.ones(ends[-1], dtype=np.int64)
    counts = csr_matrix((ones, np.concatenate(tokens), ends), shape=(len(tokens), size))
    return counts, [int(sample["target"]) for sample in samples]
