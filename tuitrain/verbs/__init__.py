"""What the command line does: one file a verb. None of them loads torch, and only what draws loads Textual."""
