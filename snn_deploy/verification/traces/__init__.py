"""What was recorded of a run: trace files, readers, decoding and alignment."""
