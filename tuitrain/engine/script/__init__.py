"""A PyTorch script of the user's own, not one line changed: run in a process of its own, watched and steered.

The host (`host.py`, no torch) starts the script's interpreter and records what it says. Within that interpreter
`injected/sitecustomize.py` runs before the script does, and `child.py` waits for the script's own import of torch; from
then on `watch.py` sees the calls of torch that every training loop makes. No thread is started there, ever.
"""
