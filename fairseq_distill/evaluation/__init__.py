"""Judging encoders: xsim and the report page."""
