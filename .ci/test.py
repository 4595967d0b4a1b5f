"""Run the tests: ``python3 .ci/test.py``. Arguments are passed on to pytest."""

import sys

from environment import python_with, run

run([python_with("dev"), "-m", "pytest", *sys.argv[1:]])
