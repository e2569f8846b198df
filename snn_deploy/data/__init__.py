"""Images, data sets, tiles of large images, calibration images and scores."""
