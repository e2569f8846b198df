"""What a run did: events, unit spikes and synaptic operations, counted."""
