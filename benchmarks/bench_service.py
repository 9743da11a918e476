"""How long the example service takes to answer, idle and while deletions are applied.

    python benchmarks/bench_service.py [--clients 4] [--seconds 20]

Clients ask for five digits without a break, on loopback; the server is a process of its own.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2
import numpy as np

from skunlearn.datasets import load_digits_images

KEYS = {role: f"the key of those who {role}" for role in ("predict", "delete", "operator")}
EXAMPLES = Path(__file__).parents[1] / "examples"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, url = serve(folder)
        try:
            with httpx2.Client(base_url=url, timeout=60) as client:
                wait_for(client, process)
                idle = load(url, options, lambda stop: None)
                busy = load(url, options, lambda stop: delete(client, stop))
                counts = client.get("/operator/health", headers=bearer("operator")).json()
        finally:
            process.terminate()
            process.wait(60)
    print(f"{options.clients} clients, {options.seconds:g} s each")
    for name, (seconds, versions) in (("idle", idle), ("while deletions apply", busy)):
        p50, p99 = 1e3 * np.quantile(seconds, [0.5, 0.99])
        rate = len(seconds) / options.seconds
        print(
            f"{name:>22}: {rate:6.0f} answers a second, p50 {p50:.1f} ms, "
            f"p99 {p99:.1f} ms, most {1e3 * max(seconds):.0f} ms, {versions} versions"
        )
    print(f"requests at the end: {json.dumps(counts['requests'])}")


def bearer(role):
    return {"Authorization": f"Bearer {KEYS[role]}"}


def serve(folder):
    """A server on a free port, with a queue in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {f"SKUNLEARN_{role.upper()}_KEY": key for role, key in KEYS.items()}
    env |= {"SKUNLEARN_QUEUE": folder, "SKUNLEARN_BATCH_SIZE": "5", "SKUNLEARN_MAX_AGE": "1"}
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--factory"]
    command += ["deletion_service:app_of_the_environment", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "warning"], env=env)
    return process, f"http://127.0.0.1:{port}"


def wait_for(client, process):
    while process.poll() is None:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    sys.exit("The server ended.")


def load(url, options, meanwhile):
    """Seconds of every answer, and how many versions gave them."""
    X, _ = load_digits_images(return_X_y=True)
    asked = {"rows": X[:5].reshape(5, -1).tolist()}
    seconds, versions, stop = [], set(), threading.Event()

    def ask():
        with httpx2.Client(base_url=url, headers=bearer("predict"), timeout=60) as client:
            while not stop.is_set():
                began = time.perf_counter()
                answer = client.post("/predict", json=asked)
                seconds.append(time.perf_counter() - began)
                answer.raise_for_status()
                versions.add(answer.json()["version"])

    threads = [threading.Thread(target=ask) for _ in range(options.clients)]
    threads.append(threading.Thread(target=meanwhile, args=(stop,)))
    for thread in threads:
        thread.start()
    time.sleep(options.seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return seconds, len(versions)


def delete(client, stop):
    """Ask for deletions, five a second."""
    number = 0
    while not stop.wait(0.2):
        body = {"request_id": f"ticket-{number}", "ids": [f"digit-{number}"]}
        client.post("/deletions", json=body, headers=bearer("delete")).raise_for_status()
        number += 1


if __name__ == "__main__":
    main()
