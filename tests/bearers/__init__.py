"""Tests of the bearers: one contract for all (contract.py), and what is particular to each."""

import pytest

pytest.register_assert_rewrite("tests.bearers.contract")
