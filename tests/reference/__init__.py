"""Slow, obvious versions of what the project computes fast: the tests compare the two."""
