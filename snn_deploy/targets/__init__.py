"""Devices as data: limits, coefficients and where each number was published."""
