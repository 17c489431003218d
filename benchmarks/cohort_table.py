"""How alike a cohort's vertebrae are before any registration, and how bright: a line a level, from its manifest.

    python benchmarks/cohort_table.py cohort/manifest.csv --pairs 12

Vertebrae of one shape in voxels, as generate.py writes them. Pairs are drawn among those of a level and of different
people; Dice and ASSD compare them with their boxes laid on each other. HU are those within the label.
"""

import argparse
import itertools

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.intensity import HU_RANGE
from acsgreg_tf.cohort.manifest import Sample, read_manifest
from acsgreg_tf.evaluation import markdown
from acsgreg_tf.io.images import read_image, read_label


def measures(samples: list[Sample], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """(Dice, ASSD in mm) of each drawn pair (N, 2), volumes in ml (M,), and mean and 95th percentile of HU (M, 2)."""
    pairs = [pair for pair in itertools.combinations(samples, 2) if pair[0].person != pair[1].person]
    drawn = [pairs[i] for i in rng.choice(len(pairs), min(count, len(pairs)), replace=False)]
    compared = []
    for first, second in drawn:
        labels = [read_label(sample.label) for sample in (first, second)]
        masks = [label.data > 0 for label in labels]
        compared.append((metrics.dice(*masks), metrics.assd(*masks, spacing=labels[0].grid.spacing)))
    brightness = []
    for sample in {sample.label: sample for pair in drawn for sample in pair}.values():
        inside = read_image(sample.image).data[read_label(sample.label).data > 0]
        values = HU_RANGE[0] + np.array([inside.mean(), np.percentile(inside, 95)]) * (HU_RANGE[1] - HU_RANGE[0])
        brightness.append(values)
    return [np.array(compared), np.array([sample.volume_ml for sample in samples]), np.array(brightness)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("--pairs", type=int, default=12, help="drawn of each level (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    options = parser.parse_args()
    samples = [sample for sample in read_manifest(options.manifest) if sample.image]
    rng = np.random.default_rng(options.seed)
    levels = sorted({sample.level for sample in samples})
    rows, found = [], []
    for level in levels:
        found.append(measures([sample for sample in samples if sample.level == level], options.pairs, rng))
        rows.append([level, *line(found[-1])])
    rows.append(["all", *line([np.concatenate(columns) for columns in zip(*found)])])
    print(markdown(["level", "vertebrae", "pairs", "Dice", "ASSD mm", "ml", "mean HU", "95th percentile HU"], rows))


def line(found: list[np.ndarray]) -> list[str]:
    """A row of the table."""
    compared, volumes, brightness = found
    dice, assd = compared.mean(0)
    hu = [f"{low:.0f} to {high:.0f}" for low, high in zip(brightness.min(0), brightness.max(0))]
    sizes = f"{volumes.min():.0f} to {volumes.max():.0f} ({volumes.mean():.0f})"
    return [str(len(volumes)), str(len(compared)), f"{dice:.3f}", f"{assd:.2f}", sizes, *hu]


if __name__ == "__main__":
    main()
