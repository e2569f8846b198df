"""What networks are for: pictures, data sets, tiles of large images, and scores."""
