"""Serve a module's ``application`` by bjoern: ``run_bjoern.py MODULE PORT``."""

import importlib
import sys

import bjoern

sys.path.insert(0, "")
bjoern.run(importlib.import_module(sys.argv[1]).application, "127.0.0.1", int(sys.argv[2]))
