"""Models of other libraries in fairseq's files, and back: Hugging Face and the official MASS."""
