"""What is seen of a training, put together into subjects for rules to look at: a file an observer."""
