"""The integer network: populations, connections, the equations of a step, proofs, schedules and the artifact."""
