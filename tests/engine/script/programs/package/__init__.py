# ruff: noqa
# mypy: ignore-errors
"""A package that is run with -m."""
