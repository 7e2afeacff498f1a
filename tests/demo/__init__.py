"""Tests of the demonstration: run whole as a user would, and its parts one by one."""
