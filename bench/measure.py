"""Runs a command; prints wall seconds, CPU seconds of it and all its children, and the largest resident set among them, as JSON."""

import json
import os
import resource
import subprocess
import sys
import time

log = open(os.environ.get("BENCH_LOG", os.devnull), "ab")
start = time.monotonic()
status = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
wall = time.monotonic() - start
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"status": status, "wallSeconds": wall, "cpuSeconds": usage.ru_utime + usage.ru_stime, "largestBytes": usage.ru_maxrss * 1024}))
