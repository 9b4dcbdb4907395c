"""The accuracy of Naive Bayes on token counts: the least that a teacher should beat."""

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score
from sklearn.naive_bayes import MultinomialNB

TRAIN = "train"


def naive_bayes_accuracy(task: Any, dataset: Any) -> float | None:
    """Train on the counts of the training split's tokens, and score on another split.

    Args:
        task: of `sentence_prediction`; dataset: the split, with classes as labels.
    Returns:
        the accuracy times 100, or None: there is no labeled training split.
    """
    try:
        training = task.load_dataset(TRAIN)
    except (AssertionError, FileNotFoundError):  # fairseq's, for a file that is missing
        return None
    if not len(training) or "target" not in training[0]:
        return None
    size = len(task.source_dictionary)
    model = MultinomialNB().fit(*_counts(training, size))
    counts, labels = _counts(dataset, size)
    return round(100 * float(accuracy_score(labels, model.predict(counts))), 2)


def _counts(dataset: Any, size: int) -> tuple[csr_matrix, NDArray[np.int64]]:
    """Return how often each token occurs in each sample `(N, V)`, and the labels `(N,)`."""
    tokens, ends, labels = array("i"), array("q", [0]), array("q")  # 4 bytes per token
    for i in range(len(dataset)):
        sample = dataset[i]
        tokens.extend(sample["net_input.src_tokens"].tolist())
        ends.append(len(tokens))
        labels.append(int(sample["target"]))
    columns, rows = np.asarray(tokens), np.asarray(ends)
    ones = np.ones(len(columns), dtype=np.int32)
    counts = csr_matrix((ones, columns, rows), shape=(len(labels), size))
    return counts, np.asarray(labels)
