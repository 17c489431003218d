"""Settings that must stand before TensorFlow is first imported; nothing here imports it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
