"""Whether native operators can be tested: always where a compiler is asked for, and then failing where it fails."""

import os
import shutil

import pytest

needs_compiler = pytest.mark.skipif(not os.environ.get("CXX") and shutil.which("g++") is None, reason="needs g++")
