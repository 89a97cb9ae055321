"""CVAT's agent functions: the specs and contexts are those of cvat-sdk, its mask decoder the oracle."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cvat_sdk", reason="cvat-sdk is not installed")

import cvat_sdk.auto_annotation as cvat
from cvat_sdk.masks import decode_mask, encode_mask

from clickgrain import cli
from clickgrain.errors import ConfigError, DataError, WeightsError
from clickgrain.export import polygons
from clickgrain.export.coco import write_coco
from clickgrain.export.records import ImageRecord, LabelRecord, ObjectRecord
from clickgrain.integrations import cvat_agent


class Prompts(cvat.InteractionPrompts):
    def __init__(self, pos=(), neg=(), box=None):
        self.given = pos, neg, box

    pos_points = property(lambda self: self.given[0])
    neg_points = property(lambda self: self.given[1])
    bounding_box = property(lambda self: self.given[2])


class Context(cvat.InteractionFunctionContext):
    pass


class Detection(cvat.DetectionFunctionContext):
    frame_name = "a.png"

    def __init__(self, threshold=None, polygons=False):
        self.given = threshold, polygons

    conf_threshold = property(lambda self: self.given[0])
    conv_mask_to_poly = property(lambda self: self.given[1])


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="module")
def clicks(segmenter):
    return cvat_agent.Clicks(segmenter)


@pytest.fixture(scope="module")
def ready(clicks, image):
    return clicks.preprocess_image(Context(), Image.fromarray(image))


def mask_of(shapes):
    (shape,) = shapes
    assert isinstance(shape, cvat.InteractionResultShape)
    assert shape.type == "mask"
    (sure,) = shape.attributes
    assert sure.spec_id == cvat.InteractionResultAttributes.CONFIDENCE
    assert 0 <= float(sure.value) <= 1
    mask = decode_mask(shape.points, image_width=200, image_height=120)
    assert shape.points == encode_mask(mask)
    return mask


def test_points_and_boxes_give_one_mask(clicks, ready, disk):
    spec = clicks.spec
    assert (spec.min_pos_points, spec.min_neg_points, spec.min_bounding_boxes) == (0, 0, 0)
    assert iou(mask_of(clicks.detect(Context(), ready, Prompts([(60, 60)]))), disk) > 0.9
    assert iou(mask_of(clicks.detect(Context(), ready, Prompts(box=((26, 26), (94, 94))))), disk) > 0.9
    both = Prompts([(60.5, 60.5), (155, 60)], [(150, 50)])
    mask = mask_of(clicks.detect(Context(), ready, both))
    assert mask[60, 60]
    assert not mask[50, 150]


def test_no_prompt_and_no_object_give_no_shape(clicks, ready):
    assert clicks.detect(Context(), ready, Prompts()) == []
    assert clicks.detect(Context(), ready, Prompts([], [(60, 60)])) == []


def test_prompts_across_the_edge_are_taken_as_cvats_page_sends_them(clicks, ready):
    """It rounds before it looks whether a click is on the image, and draws boxes anywhere."""
    for point in ((-0.4, 60), (199.4, -0.4)):
        assert mask_of(clicks.detect(Context(), ready, Prompts([point])))[
            round(abs(point[1])), round(abs(point[0]))
        ]
    whole = clicks.detect(Context(), ready, Prompts(box=((-9, -9.5), (300, 200))))
    assert decode_mask(whole[0].points, image_width=200, image_height=120).any()


def test_what_cannot_be_answered_is_an_error_whose_words_the_annotator_sees(clicks, segmenter, ready):
    for prompts in (Prompts([(900, 1)]), Prompts(box=((900, 1), (950, 9)))):
        with pytest.raises(cvat.BadFunctionError, match="outside the image"):
            clicks.detect(Context(), ready, prompts)
    huge = SimpleNamespace(width=60_000, height=60_000)  # it is not looked into
    for ask in (lambda: clicks.preprocess_image(Context(), huge),
                lambda: cvat_agent.WholeImage(segmenter).detect(Detection(), huge)):  # fmt: skip
        with pytest.raises(cvat.BadFunctionError, match="3600 megapixels is over the limit of 200"):
            ask()


def test_the_level_is_a_setting(segmenter, image):
    sizes = []
    for level in (0.05, 0.95):
        function = cvat_agent.Clicks(segmenter, level)
        encoded = function.preprocess_image(Context(), Image.fromarray(image).convert("L").convert("RGB"))
        sizes.append(mask_of(function.detect(Context(), encoded, Prompts([(60, 60)]))).sum())
    assert sizes[0] < sizes[1]


def test_gray_and_transparent_images_are_taken(clicks, image):
    for mode in ("L", "RGBA", "P"):
        encoded = clicks.preprocess_image(Context(), Image.fromarray(image).convert(mode))
        assert clicks.detect(Context(), encoded, Prompts([(60, 60)]))


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint16, 200), (np.int32, 300), (np.float32, 0.01)])
def test_deep_images_are_scaled_as_files_are(clicks, segmenter, image, disk, dtype, scale):
    """Pillow makes of 16 bits all white."""
    deep = Image.fromarray((image[..., 0].astype(np.float64) * scale).astype(dtype))
    assert deep.mode not in ("L", "RGB")
    encoded = clicks.preprocess_image(Context(), deep)
    assert iou(mask_of(clicks.detect(Context(), encoded, Prompts([(60, 60)]))), disk) > 0.9
    assert len(cvat_agent.WholeImage(segmenter, 0.8).detect(Detection(), deep)) > 1


def test_transparent_pixels_are_white(clicks, image, disk):
    """Whatever color is hidden in them."""
    seen = np.dstack([image, np.where(disk, 255, 0).astype(np.uint8)])
    encoded = clicks.preprocess_image(Context(), Image.fromarray(seen))
    assert (encoded.image[~disk] == 255).all()


def test_the_whole_image_is_covered_by_masks_once(segmenter, image, disk):
    function = cvat_agent.WholeImage(segmenter, 0.8, "part")
    (label,) = function.spec.labels
    assert (label.name, label.id, label.type) == ("part", 0, "mask")
    shapes = function.detect(Detection(), Image.fromarray(image))
    masks = [decode_mask(shape.points, image_width=200, image_height=120) for shape in shapes]
    assert (sum(mask.astype(int) for mask in masks) == 1).all()
    assert max(iou(mask, disk) for mask in masks) > 0.95
    assert {(shape.label_id, shape.frame, shape.type.value) for shape in shapes} == {(0, 0, "mask")}


def test_polygons_instead_of_masks_fill_the_same_pixels(segmenter, image):
    function = cvat_agent.WholeImage(segmenter, 0.8)
    masks = function.detect(Detection(), Image.fromarray(image))
    shapes = function.detect(Detection(polygons=True), Image.fromarray(image))
    for mask, shape in zip(masks, shapes, strict=True):
        assert shape.type.value == "polygon"
        filled = polygons.fill([np.reshape(shape.points, (-1, 2))], (120, 200))
        assert (filled == decode_mask(mask.points, image_width=200, image_height=120)).all()


def test_the_threshold_leaves_out_uncertain_regions(segmenter, image):
    function = cvat_agent.WholeImage(segmenter, 0.5)
    every, some = (function.detect(Detection(threshold), Image.fromarray(image)) for threshold in (None, 0.6))
    assert 0 < len(some) < len(every)


def test_the_loader_of_cvats_client_takes_the_module_with_its_parameters():
    common = pytest.importorskip("cvat_cli._internal.common", reason="cvat-cli is not installed")
    agent = pytest.importorskip("cvat_cli._internal.agent")
    for kind, remote in (("clicks", "interactor"), ("whole-image", "detector")):
        settings = {"kind": kind, "model": "tree", "level": 0.7}
        function = common.FunctionLoader(cvat_agent.__name__, None, settings).load()
        driver = agent.get_function_driver_class(function.spec)
        assert remote == driver.FUNCTION_KIND
        assert driver.get_remote_function_fields(function.spec)
        assert function.level == 0.7
    with pytest.raises(ConfigError, match="clicks, whole-image or same"):
        cvat_agent.create("other", "tree")
    with pytest.raises(ConfigError, match="same needs a project"):
        cvat_agent.create("same", "tree")


@pytest.fixture(scope="module")
def project(tmp_path_factory, image, disk):
    """A folder with one photo, whose disk and box have labels."""
    folder = tmp_path_factory.mktemp("project")
    Image.fromarray(image).save(folder / "a.png")
    Image.fromarray(image).save(folder / "b.png")  # without objects
    box = np.zeros_like(disk)
    box[30:90, 130:180] = True
    labels = [LabelRecord(1, "disk"), LabelRecord(2, "box")]
    objects = [ObjectRecord(disk, "disk"), ObjectRecord(box, "box"), ObjectRecord(~(disk | box), None)]
    record = ImageRecord("a.png", disk.shape, lambda: objects)
    (folder / "coco.json").write_bytes(write_coco([record], labels))
    assert cli.main(["import", str(folder), str(folder / "coco.json")]) == 0
    return folder


class TestSame:
    def test_what_looks_like_labelled_objects_gets_their_labels(self, segmenter, project, image, disk):
        function = cvat_agent.Same(segmenter, project)
        assert [(label.name, label.id, label.type) for label in function.spec.labels] == [
            ("disk", 0, "mask"),
            ("box", 1, "mask"),
        ]
        moved = np.roll(image, (8, -10), (0, 1))
        shapes = function.detect(Detection(), Image.fromarray(moved))
        masks = {shape.label_id: decode_mask(shape.points, image_width=200, image_height=120) for shape in shapes}
        assert len(shapes) == len(masks) == 2
        assert iou(masks[0], np.roll(disk, (8, -10), (0, 1))) > 0.8
        assert masks[1][68, 145]
        assert not (masks[0] & masks[1]).any()

    def test_the_threshold_of_cvat_counts_and_nothing_alike_gives_nothing(self, segmenter, project, image):
        function = cvat_agent.Same(segmenter, project)
        assert function.detect(Detection(1.0), Image.fromarray(np.roll(image, 9, 0))) == []
        gray = np.random.default_rng(0).integers(100, 140, (90, 130, 3)).astype(np.uint8)
        assert function.detect(Detection(), Image.fromarray(gray)) == []

    def test_polygons_where_cvat_asks_for_them(self, segmenter, project, image):
        function = cvat_agent.Same(segmenter, project)
        shapes = function.detect(Detection(polygons=True), Image.fromarray(image))
        assert {shape.type.value for shape in shapes} == {"polygon"}
        assert len(shapes) == 2

    def test_a_project_without_labels_or_none_is_named(self, segmenter, project, image, tmp_path):
        with pytest.raises(DataError, match="nowhere"):
            cvat_agent.Same(segmenter, tmp_path / "nowhere")
        Image.fromarray(image).save(tmp_path / "a.png")
        (tmp_path / "coco.json").write_bytes(write_coco([ImageRecord("a.png", (120, 200))], []))
        assert cli.main(["import", str(tmp_path), str(tmp_path / "coco.json"), "--done"]) == 0
        with pytest.raises(DataError, match="no object with a label"):
            cvat_agent.Same(segmenter, tmp_path)

    def test_the_loader_of_cvats_client_makes_it(self, project):
        common = pytest.importorskip("cvat_cli._internal.common", reason="cvat-cli is not installed")
        settings = {"kind": "same", "model": "tree", "project": str(project)}
        function = common.FunctionLoader(cvat_agent.__name__, None, settings).load()
        assert isinstance(function.spec, cvat.DetectionFunctionSpec)


@pytest.fixture
def client(monkeypatch, tmp_path):
    """A `cvat_cli` that writes down how it was called, and answers as told."""

    def install(create="print('Created'); print(17)", run=""):
        module = tmp_path / "cvat_cli"
        module.mkdir()
        (module / "__init__.py").write_text("")
        code = "import sys\nopen({!r}, 'a').write(repr(sys.argv[1:]) + '\\n')\n".format(str(tmp_path / "calls"))
        code += f"if 'create-native' in sys.argv: {create}\nelse: {run or 'pass'}\n"
        (module / "__main__.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "cvat_cli", raising=False)

    return install, lambda: [eval(line) for line in (tmp_path / "calls").read_text().splitlines()]


SETTINGS = {"kind": "clicks", "model": "default", "level": 0.5, "label": None}
PARAMETERS = ["-p", "kind=str:clicks", "-p", "model=str:default", "-p", "level=float:0.5"]


def test_an_agent_is_made_and_run_by_cvats_client(client):
    install, calls = client
    install()
    said = []
    cvat_agent.run_agent("https://cvat.example", SETTINGS, None, said.append)
    made, run = calls()
    module = ["--function-module", "clickgrain.integrations.cvat_agent", *PARAMETERS]
    assert made[:5] == [
        "--server-host",
        "https://cvat.example",
        "function",
        "create-native",
        "clickgrain clicks default",
    ]
    assert made[5:] == module
    assert run[2:] == ["function", "run-agent", "17", *module]
    assert "--function 17" in said[0]


def test_a_function_that_is_there_is_run(client):
    install, calls = client
    install()
    cvat_agent.run_agent("https://cvat.example", SETTINGS, 4, print)
    (run,) = calls()
    assert run[3:5] == ["run-agent", "4"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (("sys.exit(1)",), "could not be made"),
        (("pass",), "could not be made"),
        (("print(3)", "sys.exit(2)"), "status 2"),
    ],
)
def test_what_cvats_client_refuses_is_told(client, answers, words):
    client[0](*answers)
    with pytest.raises(DataError, match=words):
        cvat_agent.run_agent("https://cvat.example", SETTINGS, None, print)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"kind": "same", "project": "nowhere"}, DataError, "nowhere"),
        ({"model": "no/where"}, WeightsError, "no/where"),
    ],
)
def test_wrong_settings_are_told_before_cvats_client_runs(client, tmp_path, wrong, error, words):
    client[0]()
    with pytest.raises(error, match=words):
        cvat_agent.run_agent("https://cvat.example", {**SETTINGS, **wrong}, None, print)
    assert not (tmp_path / "calls").exists()


def test_cvats_client_understands_the_words():
    common = pytest.importorskip("cvat_cli.__main__", reason="cvat-cli is not installed")
    import subprocess

    words = [
        "--server-host",
        "http://127.0.0.1:1",
        "function",
        "create-native",
        "n",
        "--function-module",
        "m",
        *PARAMETERS,
    ]
    done = subprocess.run([sys.executable, "-m", "cvat_cli", *words], capture_output=True, text=True, check=False)
    assert common
    assert done.returncode != 2, done.stderr  # 2: argparse did not understand


def test_without_the_sdk_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvat_sdk", None)
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    monkeypatch.delitem(sys.modules, "clickgrain.integrations.cvat_agent")
    with pytest.raises(ConfigError, match=r"pip install 'clickgrain\[cvat\]'"):
        __import__("clickgrain.integrations.cvat_agent")


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(cvat_agent.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'clickgrain\[cvat\]'"):
        cvat_agent.run_agent("https://cvat.example", SETTINGS, None, print)
