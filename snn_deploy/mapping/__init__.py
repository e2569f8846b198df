"""Where a network goes on a device: tiles, cores, chips and boards, the traffic between them, and what does not fit."""
