"""One module per command; see the table in `clickgrain.cli`. Nothing here imports torch, cv2 or numba at once."""
