"""Real posts and a real relay on wires that misbehave (bench/emulated.py); in full with --long."""
