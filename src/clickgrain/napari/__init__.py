"""The napari plugin: click, level, commit, carry on through a stack (`napari.yaml` is its manifest)."""
