"""acni beside libcni, go-cni and the least that spawning costs, and whether its goals are reached.

``python benchmarks/compare.py`` takes ten minutes, ``python benchmarks/compare.py quick`` 90
seconds. It runs as root, in a private host of its own. See ``harness/`` for how it is done.
"""

from harness.command import main

if __name__ == "__main__":
    main()
