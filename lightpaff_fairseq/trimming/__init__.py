"""Cut the vocabulary of a model: its tables, dictionaries, tokenizer and data."""
