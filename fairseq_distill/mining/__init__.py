"""Margin-based mining: exact k-NN, margin scores, mined pairs."""
