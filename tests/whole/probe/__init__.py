"""Tests of `connector probe`."""
