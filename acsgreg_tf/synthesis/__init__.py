"""Vertebrae made to order: a parametric phantom, real shapes varied, simulated CT."""
