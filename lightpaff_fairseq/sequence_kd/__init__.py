"""Sequence-level distillation: a teacher's translations become the training data of the student."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
