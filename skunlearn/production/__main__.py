"""Look at a queue's folder: ``python -m skunlearn.production check FOLDER [--rescue NEW]``."""

import argparse
import sys

from skunlearn.production._inspection import Inspection


def main(arguments=None):
    """Print what is sound and what is not; return 0 when a worker can go on, else 1."""
    parser = argparse.ArgumentParser(prog="python -m skunlearn.production", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="what is sound in a queue's folder")
    check.add_argument("folder")
    check.add_argument("--rescue", metavar="NEW", help="write what can be read to a new folder")
    options = parser.parse_args(arguments)
    found = Inspection(options.folder)
    print("\n".join(found.lines))
    if options.rescue is not None:
        try:
            found.rescue(options.rescue)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"What can be read is in {options.rescue}. Check it, and send again what is lost.")
    elif not found.sound:
        print(
            "Stop the workers and restore a backup of the folder; or write what can be read to a "
            "new one with --rescue NEW."
        )
    return 0 if found.sound else 1


if __name__ == "__main__":
    sys.exit(main())
