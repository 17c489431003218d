"""Files in and out: images, DICOM series, points, surfaces and transforms; every fault of a file ends here."""
