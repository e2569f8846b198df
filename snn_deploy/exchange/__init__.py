"""Other people's files: ``.net`` of lava-dl, and NIR."""
