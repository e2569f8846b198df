"""Energy and time of a run: joules and seconds with their error bands."""
