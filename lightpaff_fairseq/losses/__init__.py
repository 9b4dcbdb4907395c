"""The mechanism of distillation: losses and read-outs that know nothing of training loops."""
