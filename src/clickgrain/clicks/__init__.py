"""Clicks: maps that show them to a network, their simulation in training, users; `config` loads nothing heavy."""
