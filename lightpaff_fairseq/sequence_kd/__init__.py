"""Sequence-level distillation: a teacher's translations become the training data of the student."""
