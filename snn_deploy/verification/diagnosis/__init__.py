"""If two runs differ: where the difference enters, and which fault explains it."""
