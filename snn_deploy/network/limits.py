"""What a network may hold: the chip's 24 bits, and bounds on files from strangers."""

from __future__ import annotations

STATE_MAX = 2**23 - 1
"""Largest magnitude of a membrane: 24 bits signed, saturating symmetrically (nengo-loihi issue 130)."""

MAX_EXPONENT = 15
"""Largest left shift of a connection; beyond it no payload times an int8 weight fits in 24 bits."""

MAX_STEPS = 2**20
"""Largest start, delay and window: a file from a stranger must not ask for a run that never ends."""

MAX_NEURONS = 2**27
"""Most neurons of one population; the largest of a 64-channel U-Net on 1024 x 1024 pixels has half of it."""

MAX_GROWTH = 2**13
"""Most neurons of all populations, and of a padded map, for each pixel of the input; a 64-channel U-Net has 2,000."""

MIN_GROWTH = 2**24
"""Neurons that even the smallest input may lead to; a run of so many takes about 700 MiB."""
