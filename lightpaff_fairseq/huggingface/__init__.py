"""Convert models of Hugging Face and released MASS files to fairseq, and fairseq's back.

to_fairseq, mass_release, from_fairseq: the three directions of `lightpaff convert`.
conversion: its flags, its result, and the names of the files it writes.
tables, families/: which tensor is which, per family.
vocabulary, tokenizers: dictionaries in fairseq's order; text in fairseq's tokens.
hf_folder, hf_config: read a Hugging Face folder; derive the configuration of one to write.
fairseq_checkpoint: read and write the fairseq checkpoint.
hf_parity: compare the logits of both models.
"""
