"""Plain PyTorch parts of the student: encoder, pooling, MLM head and losses; no fairseq here."""
