"""Plans: a network on a large image in tiles that the hardware at hand holds, and what that costs."""
