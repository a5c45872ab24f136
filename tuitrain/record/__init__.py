"""The record of a run: pure data, shared by those who train and those who watch.

Imports neither torch nor Textual, so a viewer starts without loading either of them for this.
"""
