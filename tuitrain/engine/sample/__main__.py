"""Run the maker of the embedded sample."""

from tuitrain.engine.sample.maker import main

main()
