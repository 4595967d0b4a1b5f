"""Run the tests, in two processes: ``python3 .ci/test.py``. Arguments are passed on to pytest; ``-n 0`` is for one."""

import sys

from environment import python_with, run

run([python_with("dev"), "-m", "pytest", "-n", "2", "--dist", "loadgroup", *sys.argv[1:]])
