"""Clicks: maps that show them to a network, their simulation in training, and the robot user.

Import from the modules: `spec` and `args` load nothing heavy, `maps` and `simulation` need torch and OpenCV.
"""
