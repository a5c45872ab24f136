"""What is wrong with a run: one file a family of rules."""
