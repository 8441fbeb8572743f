"""Frozen encoders whose space the students learn."""
