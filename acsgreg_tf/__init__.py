"""acsgreg_tf: joint affine and diffeomorphic registration of lumbar vertebrae in CT (ACSGRegNet)."""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512, where a 3-D convolution's gradient is then 8 times slower.
# It reads this once, when it is first imported; a user's own setting stands.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
