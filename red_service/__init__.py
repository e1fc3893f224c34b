"""RED: send it an image, get the amount of red in it."""
