"""What a piece of work takes of the processor."""

import time


def least_seconds(work, limit):
    """The least processor seconds of up to three tries, and what they gave: others may slow one of them."""
    took, gave = [], set()
    while not took or (min(took) >= limit and len(took) < 3):
        started = time.process_time()
        gave.add(work())
        took.append(time.process_time() - started)
    return min(took), gave
