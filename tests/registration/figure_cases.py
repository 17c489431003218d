"""What the tests of figures share: images, labels and a displacement, and the pixels of a written figure."""

import numpy as np
from PIL import Image

from acsgreg_tf.registration.drawing import save_figure

SHAPE = (40, 44, 24)


def blob(centre, radius, shape=SHAPE):
    distance = np.linalg.norm(np.stack(np.indices(shape), -1) - np.asarray(centre), axis=-1)
    return (distance < radius) * (1.2 - distance / radius).astype(np.float32)


def images_labels_displacement():
    """([fixed, moving, affine, deformable], labels by name, displacement)."""
    images = [blob(c, r) for c, r in [((20, 22, 12), 9), ((24, 20, 12), 7), ((20, 21, 12), 8), ((20, 22, 12), 8.5)]]
    labels = {"fixed": images[0] > 0, "moving": images[1] > 0, "moved": images[3] > 0}
    grid = np.stack(np.indices(SHAPE), -1).astype(np.float32)
    return images, labels, np.sin(grid / 6)


def pixels_inside(figure, path):
    """What was really painted inside each axes of a written PNG."""
    save_figure(figure, path)
    with Image.open(path) as image:
        page = np.asarray(image.convert("RGB"))
    for ax in figure.axes:
        box = ax.get_window_extent()
        yield (
            ax,
            page[
                page.shape[0] - int(box.y1) + 2 : page.shape[0] - int(box.y0) - 2,
                int(box.x0) + 2 : int(box.x1) - 2,
            ],
        )
