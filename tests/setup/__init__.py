"""Tests of `shipper setup`, one module for each of its modules."""
