"""The screen: reads the journal, sends commands, and never imports torch."""
