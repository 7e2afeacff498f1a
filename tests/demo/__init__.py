"""Tests of the demonstration: run whole as a user would, and its parts where a run cannot show them."""
