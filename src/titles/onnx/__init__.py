"""Export networks to ONNX and predict with them, without torch. An optional install, imported by no stage."""
