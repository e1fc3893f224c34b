"""What RED and RED_STATS both stand on; it imports neither."""
