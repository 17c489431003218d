"""Slices of a cohort's vertebrae, one a column, from its manifest: axial, sagittal and coronal through the middle.

python benchmarks/cohort_picture.py data/cohort/manifest.csv docs/images/cohort.png --columns 5
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

from acsgreg_tf.cohort.manifest import read_manifest  # noqa: E402
from acsgreg_tf.io.images import read_image, read_label  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("picture")
    parser.add_argument("--columns", type=int, default=5)
    options = parser.parse_args()
    samples = [s for s in read_manifest(options.manifest) if s.image][: options.columns]
    figure, axes = plt.subplots(
        3, len(samples), figsize=(2.2 * len(samples), 5.4), squeeze=False, height_ratios=[2, 1, 1]
    )
    for column, sample in zip(axes.T, samples, strict=True):
        image, label = read_image(sample.image), read_label(sample.label).data > 0
        spacing = image.grid.spacing
        for axis, plane in zip((2, 0, 1), column, strict=True):
            middle = image.data.shape[axis] // 2
            rest = [a for a in range(3) if a != axis]
            plane.imshow(
                image.data.take(middle, axis).T,
                cmap="gray",
                vmin=0,
                vmax=0.7,
                origin="lower",
                aspect=spacing[rest[1]] / spacing[rest[0]],
            )
            plane.contour(label.take(middle, axis).T.astype(np.float32), [0.5], colors="tab:red", linewidths=0.4)
            plane.axis("off")
        column[0].set_title(f"{sample.person} {sample.level}\n{sample.volume_ml:.0f} ml", fontsize=8)
    figure.tight_layout(pad=0.2)
    figure.savefig(options.picture, dpi=110)


if __name__ == "__main__":
    main()
