"""Sequence-level distillation: train the student on the teacher's translations."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
