"""Name the ways in which an encoder's outputs become the embedding of a sentence."""

POOLINGS = ("mean", "first")  # of all tokens, <s> and </s> included; of <s>
