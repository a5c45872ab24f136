"""What touches torch: the loop, what observes and steers it, and the thread it runs in."""
