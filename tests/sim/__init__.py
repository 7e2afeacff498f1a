"""Tests of the simulator: it repeats, it finds what is there, and today it finds nothing."""
