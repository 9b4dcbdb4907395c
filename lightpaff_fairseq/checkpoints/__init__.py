"""File to file: read a checkpoint, write an ordinary fairseq checkpoint, verify it."""
