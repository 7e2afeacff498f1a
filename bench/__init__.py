"""The benchmarks: what Openline costs on this machine, side by side with what it stands on."""
