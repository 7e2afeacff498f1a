"""The untrusted store-and-forward relay, a program of its own that knows nothing of lines."""
