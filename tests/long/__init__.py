"""Bars that need real processes; `./dev test --long` runs them in full, a usual run a sample."""
