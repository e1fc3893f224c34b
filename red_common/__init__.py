"""What RED and RED_STATS share; it imports neither of them."""
