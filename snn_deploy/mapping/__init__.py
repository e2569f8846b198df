"""Mapping a network to a device: tiles, cores, chips and boards, the traffic between them, and constraint violations."""
