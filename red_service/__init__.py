"""RED: an image in, the amount of red in it out."""
