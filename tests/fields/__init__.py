"""Tests of acsgreg_tf.fields."""
