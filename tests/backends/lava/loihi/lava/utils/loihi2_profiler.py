"""Its presence is how ``lava.utils.loihi.is_installed`` finds lava-loihi."""
