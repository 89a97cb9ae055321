"""Masks in the formats of other tools, in and out; `formats.py` is the entry."""
