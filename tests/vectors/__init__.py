"""Vectors in a language-neutral form (docs/vectors.md), and what makes and reads them here."""
