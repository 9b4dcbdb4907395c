"""`lightpaff evaluate`: compare quality, size and speed of checkpoints in one table."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from ..data_shards import data_shards
from ..evaluation.classification import evaluate_classification
from ..evaluation.embedding import evaluate_embedding
from ..evaluation.evaluation_request import (
    LANGUAGE_MODELING,
    SENTENCE_EMBEDDING,
    SENTENCE_PREDICTION,
    TRANSLATION,
    EvaluationRequest,
    check_request,
)
from ..evaluation.markdown_table import format_table
from ..evaluation.perplexity import evaluate_language_models
from ..evaluation.teacher_comparison import TeacherComparison
from ..evaluation.translation import evaluate_translation
from ..flags import add_flags, parse_flags
from ..output_file import write_json

EVALUATE = {
    TRANSLATION: evaluate_translation,
    LANGUAGE_MODELING: evaluate_language_models,
    SENTENCE_PREDICTION: evaluate_classification,
    SENTENCE_EMBEDDING: evaluate_embedding,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Print one table of quality, size and speed. translation: BLEU, chrF or ROUGE of "
        "fairseq-generate. language_modeling: perplexity per token and per word, by "
        "fairseq-eval-lm. sentence_prediction: accuracy, F1 and MCC, or Pearson and Spearman "
        "correlation. sentence_embedding: Spearman and Pearson correlation of the cosines of pairs "
        "with their labels. Ratios are relative to the first checkpoint (the teacher)."
    )
    add_flags(parser, EvaluationRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table and write the JSON file.

    Raises:
        ValueError: bad flags or files, see the modules of `evaluation`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every file it reads
    request = parse_flags(args, EvaluationRequest)
    first = data_shards(request.data)[0]  # fairseq reads all splits but that of training from it
    request = replace(request, data=Path(first))
    models = check_request(request)
    has_distributions = request.task != SENTENCE_EMBEDDING
    comparison = TeacherComparison(request) if request.teacher and has_distributions else None
    result = EVALUATE[request.task](models, request)
    if comparison:
        result = comparison.add_to(result, models)
    print("\n".join([format_table(result.rows, result.columns), *result.notes]))
    if request.out:
        write_json(request.out, result.rows, "--out")
    return 0
