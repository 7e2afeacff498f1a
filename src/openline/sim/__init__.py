"""A world from one seed: the code of production under virtual time, faults, and a checker."""
