"""Contenders timed in turn."""

import os
import platform
import statistics
import time

import torch


def machine():
    """One line about where the figures come from."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads"
    )


def interleave(contenders, rounds):
    """Median wall and CPU seconds of each contender; rounds go A B C, A B C, the first dropped."""
    wall = {name: [] for name in contenders}
    cpu = {name: [] for name in contenders}
    for i in range(rounds + 1):
        for name, run in contenders.items():
            w, c = time.perf_counter(), time.process_time()
            run()
            if i:
                wall[name].append(time.perf_counter() - w)
                cpu[name].append(time.process_time() - c)
    return {name: (statistics.median(wall[name]), statistics.median(cpu[name])) for name in wall}


def report(title, results, base):
    """Print every contender as a ratio to `base`."""
    print(f"\n{title} ({machine()})")
    for name, (wall, cpu) in results.items():
        print(
            f"  {name:<34} {wall:8.3f} s wall {cpu:8.3f} s CPU   "
            f"{wall / results[base][0]:5.2f} × wall {cpu / results[base][1]:5.2f} × CPU"
        )
