"""Click models: the networks, the engines that answer clicks with them, and their ONNX files."""
