"""File formats of other tools: ``.net`` of lava-dl, NIR and ONNX."""
