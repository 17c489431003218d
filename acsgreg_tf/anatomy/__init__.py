"""Vertebrae in scans: names of levels, one vertebra out of a scan, CT intensities."""
