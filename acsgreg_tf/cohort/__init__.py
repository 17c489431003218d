"""Many vertebrae: scans of a data set, preparation, manifest, splits, pairs, data sets to train on."""
