"""Map model families: one module per architecture, `registry` by Hugging Face's `model_type`.

bert: BERT, RoBERTa, XLM-R, DistilBERT, ELECTRA;
bart: BART, mBART, M2M-100, NLLB, FSMT; gpt2; marian: OPUS-MT.
"""
