"""Decoding with a model of transformers: rows join and leave at every step."""
