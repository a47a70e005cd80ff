"""A network as an ONNX file, which runs without torch: an optional install, which no stage imports."""
