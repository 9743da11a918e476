"""Run benchmarks and print one table of their ratios against the goals; JSON on the side.

    python benchmarks/run.py [bench_a.py ...] [--json goals.json] [--page RESULTS.md]

``--page`` runs nothing: it puts the table of the stored JSON into a page.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from _goals import listening, put_into, read, table

HERE = Path(__file__).parent


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="default: every bench_*.py here")
    parser.add_argument("--json", type=Path, default=HERE / "goals.json")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    if options.page is not None:
        stored = json.loads(options.json.read_text())
        options.page.write_text(put_into(options.page.read_text(), stored["goals"]))
        return
    from _timing import machine  # torch, which a page does not need

    results, failed = [], []
    load = os.getloadavg()[0]
    for path in options.files or sorted(HERE.glob("bench_*.py")):
        print(f"== {path.name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder) / "lines"
            began = time.perf_counter()
            code = subprocess.run([sys.executable, str(path)], env=listening(lines)).returncode
            seconds = round(time.perf_counter() - began, 1)
            results += [{"file": path.name, **line} for line in read(lines)]
        if code:
            failed.append(path.name)
        print(f"-- {path.name}: {seconds} s", flush=True)
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "load_at_start": round(load, 2),
        "failed": failed,
        "goals": results,
    }
    options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    busy = " (busy: other processes were running)" if load > 0.5 else ""
    print(f"\nRatios against their goals; {report['when']}, {report['machine']}")
    print(f"load at the start {load:.2f}{busy}\n\n{table(results)}\n-> {options.json}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
