"""What it costs to be watched, measured: processes that train the same thing in different ways and take turns."""
