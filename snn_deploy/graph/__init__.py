"""The float graph: operators and the values between them."""
