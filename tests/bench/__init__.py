"""The benchmarks themselves: that they count right, and keep their names and bars."""
