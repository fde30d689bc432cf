"""Export: policies as ONNX, episodes as datasets for offline learning."""
