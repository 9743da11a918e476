"""Contenders timed in turn."""

import math
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
    """Median wall and CPU seconds of each contender; see `timed_rounds`."""
    return medians(timed_rounds(contenders, rounds))


def timed_rounds(contenders, rounds):
    """Wall and CPU seconds of each round; they go A B C, A B C, and the first is dropped."""
    times = {name: [] for name in contenders}
    for i in range(rounds + 1):
        for name, run in contenders.items():
            w, c = time.perf_counter(), time.process_time()
            run()
            if i:
                times[name].append((time.perf_counter() - w, time.process_time() - c))
    return times


def medians(times):
    """Median wall and CPU seconds of each contender."""
    return {name: tuple(map(statistics.median, zip(*each))) for name, each in times.items()}


def report(title, results, base):
    """Print every contender as a ratio to `base`."""
    print(f"\n{title} ({machine()})")
    for name, (wall, cpu) in results.items():
        print(
            f"  {name:<34} {wall:8.3f} s wall {cpu:8.3f} s CPU   "
            f"{wall / results[base][0]:5.2f} × wall {cpu / results[base][1]:5.2f} × CPU"
        )


def plus_minus(mean, spread, form=".2f"):
    """A mean with its spread over seeds, which one seed has none of; "" where there is no mean."""
    if not math.isfinite(mean):
        return ""
    known = spread is not None and math.isfinite(spread)
    return f"{mean:{form}}" + (f" ± {spread:.{form.split('.')[1]}}" if known else "")
