"""Merge trees: regions of an image at every granularity."""

from clickgrain.tree.build import build_tree as build_tree
from clickgrain.tree.contrast import FLAT as FLAT
from clickgrain.tree.contrast import region_contrast as region_contrast
from clickgrain.tree.merge_tree import MergeTree as MergeTree
from clickgrain.tree.merge_tree import snap as snap
from clickgrain.tree.semantic import semantic_cells as semantic_cells
from clickgrain.tree.semantic import semantic_tree as semantic_tree
from clickgrain.tree.semantic import semantic_vectors as semantic_vectors
from clickgrain.tree.watershed import edge_strength as edge_strength
from clickgrain.tree.watershed import edge_tree as edge_tree
