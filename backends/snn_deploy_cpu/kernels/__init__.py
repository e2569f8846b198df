"""Compiled loops. No other part of the backend imports numba; LLVM stays in ``simd``."""
