"""A tiny pair of ONNX files, called as SAM's: the object is what has the color of the first point."""

from pathlib import Path

import numpy as np

SIDE, LOW = 64, 256


def write_pair(folder: Path, *, plain: bool = False, full: bool = False, masks: int = 1) -> None:
    """Write encoder.onnx and decoder.onnx.

    Args:
        folder: of the files.
        plain: the encoder takes H x W x 3 pixels instead of a normalized square of 64.
        full: the decoder answers at the size of the image instead of that of the square.
        masks: of an answer; the first is for several clicks.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def number(name, values, kind=np.float32):
        return numpy_helper.from_array(np.array(values, kind), name)

    def save(name, nodes, constants, inputs, outputs):
        graph = helper.make_graph(nodes, "drawn", inputs, outputs, constants)
        opset = helper.make_opsetid("", 13)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / name)

    node = helper.make_node
    if plain:  # to what the other one is given: normalized, in a square
        nodes = [
            node("Sub", ["image", "mean"], ["moved"]),
            node("Div", ["moved", "spread"], ["scaled"]),
            node("Transpose", ["scaled"], ["upright"], perm=[2, 0, 1]),
            node("Unsqueeze", ["upright", "first"], ["batch"]),
            node("Shape", ["batch"], ["shape"]),
            node("Sub", ["square", "shape"], ["missing"]),
            node("Concat", ["none", "missing"], ["pads"], axis=0),
            node("Pad", ["batch", "pads"], ["image_embeddings"]),
        ]
        constants = [
            number("mean", [123.675, 116.28, 103.53]),
            number("spread", [58.395, 57.12, 57.375]),
            number("first", [0], np.int64),
            number("square", [1, 3, 1024, 1024], np.int64),
            number("none", [0] * 4, np.int64),
        ]
        shape = ["h", "w", 3]
    else:
        nodes, constants, shape = [node("Identity", ["image"], ["image_embeddings"])], [], [1, 3, SIDE, SIDE]
    save("encoder.onnx", nodes, constants, [value("image", shape)], [value("image_embeddings", [1, 3, "s", "s"])])

    nodes = [
        node("Slice", ["point_coords", "start", "end", "axis"], ["one"]),  # 1 x 1 x 2
        node("Reshape", ["one", "flat"], ["xy"]),
        node("Floor", ["xy"], ["floored"]),
        node("Cast", ["floored"], ["whole"], to=TensorProto.INT64),
        node("Gather", ["whole", "swapped"], ["yx"]),
        node("Transpose", ["image_embeddings"], ["last"], perm=[0, 2, 3, 1]),
        node("Squeeze", ["last", "start"], ["pixels"]),  # s x s x 3
        node("GatherND", ["pixels", "yx"], ["color"]),
        node("Sub", ["pixels", "color"], ["off"]),
        node("ReduceSumSquare", ["off"], ["square"], axes=[2], keepdims=0),
        node("Mul", ["square", "steep"], ["steeper"]),
        node("Sub", ["sure", "steeper"], ["logits"]),
        node("Unsqueeze", ["logits", "two"], ["wide"]),  # 1 x 1 x s x s
        node("Resize", ["wide", "", "", "low_size"], ["drawn"], mode="linear"),
        node("Mul", ["mask_input", "has_mask_input"], ["before"]),
        node("Add", ["drawn", "before"], ["both"]),
        node("Expand", ["both", "many"], ["low_res_masks"]),
        node("Identity", ["scores"], ["iou_predictions"]),
    ]
    if full:  # the padding is cut off, as segment-anything's export does it
        nodes += [
            node("ReduceMax", ["orig_im_size"], ["longest"], keepdims=1),
            node("Div", ["orig_im_size", "longest"], ["share"]),
            node("Mul", ["share", "low"], ["kept"]),
            node("Cast", ["kept"], ["kept_whole"], to=TensorProto.INT64),
            node("Slice", ["low_res_masks", "corner", "kept_whole", "last_two"], ["seen"]),
            node("Cast", ["orig_im_size"], ["size_whole"], to=TensorProto.INT64),
            node("Concat", ["batches", "size_whole"], ["full_size"], axis=0),
            node("Resize", ["seen", "", "", "full_size"], ["masks"], mode="linear"),
        ]
    else:
        nodes.append(node("Identity", ["low_res_masks"], ["masks"]))
    constants = [
        number("start", [0], np.int64),
        number("end", [1], np.int64),
        number("axis", [1], np.int64),
        number("flat", [2], np.int64),
        number("swapped", [1, 0], np.int64),
        number("two", [0, 1], np.int64),
        number("steep", 8.0),
        number("sure", 4.0),
        number("low_size", [1, 1, LOW, LOW], np.int64),
        number("many", [1, masks, LOW, LOW], np.int64),
        number("scores", [[0.5, 0.7, 0.9, 0.8][:masks]]),
        number("low", float(LOW)),
        number("corner", [0, 0], np.int64),
        number("last_two", [2, 3], np.int64),
        number("batches", [1, masks], np.int64),
    ]
    inputs = [
        value("image_embeddings", [1, 3, "s", "s"]),
        value("point_coords", [1, "n", 2]),
        value("point_labels", [1, "n"]),
        value("mask_input", [1, 1, LOW, LOW]),
        value("has_mask_input", [1]),
        value("orig_im_size", [2]),
    ]
    outputs = [
        value("masks", [1, masks, "h", "w"]),
        value("iou_predictions", [1, masks]),
        value("low_res_masks", [1, masks, LOW, LOW]),
    ]
    used = {name for one in nodes for name in one.input}
    save(
        "decoder.onnx",
        nodes,
        [one for one in constants if one.name in used],
        [one for one in inputs if one.name in used or one.name == "point_labels"],
        outputs,
    )
