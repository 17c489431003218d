"""Pure tensor functions on `keras.ops`: no layers, no files."""
