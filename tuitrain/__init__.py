"""tuitrain: watch and steer a PyTorch training run in the terminal."""

__version__ = "0.1.0"
