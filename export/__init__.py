"""Export to ONNX and TensorRT."""
