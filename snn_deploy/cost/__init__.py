"""What a run costs: operations counted one by one, joules and seconds with their bands, and sweeps of both."""
