"""Run fairseq-train, with a line of progress."""
