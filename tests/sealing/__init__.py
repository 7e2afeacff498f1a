"""Facts about sealing: keys, openings, runs and roots."""
