"""Semantic features and their tree, against ONNX Runtime and for what they are for."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import cv2
import numpy as np
import onnxruntime
import pytest
from skimage import data

from clickgrain.errors import WeightsError
from clickgrain.features import ColorTexture, SemanticNetwork
from clickgrain.features import semantic as module
from clickgrain.tree import build_tree, semantic_cells, semantic_tree, semantic_vectors


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()[::2, ::2].copy()


@pytest.fixture(scope="module")
def network():
    return SemanticNetwork()


class TestNetwork:
    @pytest.mark.parametrize("size", [(256, 256), (160, 320), (321, 77)])
    def test_opencv_computes_what_onnx_runtime_does(self, network, astronaut, size):
        image = cv2.resize(astronaut, size[::-1])
        session = onnxruntime.InferenceSession(
            files("clickgrain").joinpath(module.NETWORK).read_bytes(), providers=["CPUExecutionProvider"]
        )
        fitted = module.fit_size(size, module.LONG_SIDE, 32)
        pixels = module.resize(image, fitted).astype(np.float32).transpose(2, 0, 1)[None]
        (wanted,) = session.run(["features"], {"image": pixels})
        found = network(image)
        wanted = (wanted[0] / np.linalg.norm(wanted[0], axis=0)).transpose(1, 2, 0)
        assert found.shape == wanted.shape == (fitted[0] // 16, fitted[1] // 16, 48)
        np.testing.assert_allclose(found, wanted, atol=2e-3)

    def test_it_names_no_file_of_the_machine_that_made_it(self, network):
        content = bytes(network.weights)
        assert b".py" not in content
        assert b"/lib/" not in content

    def test_threads_do_not_disturb_each_other(self, network, astronaut):
        images = [np.roll(astronaut, 20 * i, axis=1) for i in range(6)]
        alone = [network(image) for image in images]
        with ThreadPoolExecutor(6) as pool:
            for wanted, found in zip(alone, pool.map(network, images), strict=True):
                np.testing.assert_array_equal(found, wanted)

    def test_a_damaged_network_is_reported(self):
        broken = SemanticNetwork()
        broken.weights = broken.weights[:5000]
        with pytest.raises(
            WeightsError, match=r"semantic.onnx cannot be read by OpenCV .*install clickgrain again"
        ):
            broken(np.zeros((32, 32, 3), np.uint8))


def plain_tree(image):
    return build_tree(ColorTexture()(image), image.shape[:2])


def grown(image, tree):
    return semantic_tree(image, tree, semantic_cells(image))


class TestTree:
    def test_it_has_the_leaves_and_the_size_of_the_other(self, astronaut):
        for grid, size in (((30, 40), (90, 120)), ((64, 64), (256, 256)), ((1, 1), (256, 256)), ((3, 5), (60, 90))):
            other = build_tree(np.random.default_rng(0).normal(size=(*grid, 3)), size)
            tree = grown(astronaut, other)
            assert (tree.grid, tree.image_size) == (grid, size)

    def test_a_tiny_image_keeps_its_tree(self, astronaut):
        tiny = astronaut[:95, :200]
        tree = plain_tree(tiny)
        assert grown(tiny, tree) is tree
        assert grown(astronaut[:96, :200], tree) is not tree

    def test_edges_stay_where_colors_change(self):
        """The network's cells are 16 pixels wide; a square's node has its edges all the same."""
        image = np.zeros((120, 160, 3), np.uint8)
        image[32:88, 40:120] = (220, 60, 20)
        tree = grown(image, plain_tree(image))
        square = cv2.resize(image[..., 0], tree.grid[::-1], interpolation=cv2.INTER_AREA) > 110
        assert any((tree.mask(node) == square).all() for node in range(tree.n_leaves, tree.n_nodes))

    def test_a_face_is_one_thing_with_its_hair(self):
        """The best node for the head (an ellipse drawn by hand), which color parts in face and hair."""
        image = data.astronaut()
        mask = cv2.ellipse(np.zeros(image.shape[:2], np.uint8), (222, 92), (70, 88), 0, 0, 360, 1, -1)

        def best(tree):
            inside = cv2.resize(mask.astype(np.float32), tree.grid[::-1], interpolation=cv2.INTER_AREA).ravel()
            common = tree.sums(inside.astype(np.float64))
            return (common / (tree.area + inside.sum() - common)).max()

        plain = plain_tree(image)
        assert best(plain) < 0.7 < 0.8 < best(grown(image, plain))


class TestVectors:
    def test_their_cosine_is_the_mean_of_cells_and_of_two_cuts(self, astronaut):
        tree, cells = plain_tree(astronaut), semantic_cells(astronaut)
        (h, w), vectors = tree.grid, semantic_vectors(cells, tree)
        assert vectors.shape == (h, w, 3 * cells.shape[-1])
        assert np.linalg.norm(vectors, axis=-1) == pytest.approx(1, abs=1e-5)
        seen = cv2.resize(cells, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h * w, -1)
        wanted = []
        for regions in (np.arange(h * w), tree.cut(20).ravel(), tree.cut(150).ravel()):
            one, two = (seen[regions == regions[leaf]].sum(0) for leaf in (7, h * w // 2))
            wanted.append(one @ two / np.linalg.norm(one) / np.linalg.norm(two))
        flat = vectors.reshape(h * w, -1)
        assert flat[7] @ flat[h * w // 2] == pytest.approx(np.mean(wanted), abs=1e-4)

    def test_a_tiny_image_has_none_that_are_alike(self, astronaut):
        tiny = astronaut[:95, :200]
        assert not semantic_vectors(semantic_cells(tiny), plain_tree(tiny)).any()
