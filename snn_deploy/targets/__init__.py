"""Device descriptions: limits and coefficients, each with its source."""
