"""Tests of Openline; the tree mirrors src/openline."""
