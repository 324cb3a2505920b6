"""Our comparison alone, in a worker that has imported everything: its seconds are not those of Python's start.

    _diff_step.py JOB

The last line printed is one JSON object: the summary, `seconds`, and `rss_mb`, the process's own peak.
"""

import json
import re
import sys
import time
import uuid
from pathlib import Path

from syncline.adapters import project
from syncline.core.job_files import load_job
from syncline.core.record_comparison import ComparisonRequest
from syncline.steps import compare_records

job = load_job(project.root(), sys.argv[1])
request = ComparisonRequest(run_key=f"bench__{uuid.uuid4()}")
started = time.monotonic()
summary = compare_records(job, request)
seconds = time.monotonic() - started
# Not getrusage: its peak can be the one of the process that started this one.
peak_kb = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
print(json.dumps({**summary.as_dict(), "seconds": seconds, "rss_mb": peak_kb / 1024}))
