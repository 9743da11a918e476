"""Run the code of pages, and compare what it prints with what the page says it prints.

python docs/run_code.py README.md docs/start/quick_start.rst [--write]

The blocks of Python of a page run one after the other in one fresh process. A block of plain text
right behind one (```text`` in Markdown, ``.. code-block:: none``) is its output. Words must agree,
and numbers to their stable digits: other machines round differently. ``--write`` puts what was
printed now on the page.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

_MARKDOWN = re.compile(r"^```(python|text)\n(.*?)^```$", re.M | re.S)
_RST = re.compile(r"^\.\. code-block:: (python|none)\n\n((?:   .*\n|\n)+)", re.M)
_NUMBER = re.compile(r"[-−+]?\d+(?:,\d{3})*(?:\.\d+)?%?")
_RUN = """
import contextlib, io, json, sys
printed, space = [], {"__name__": "__main__"}
for code in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "page", "exec"), space)
    printed.append(out.getvalue())
print(json.dumps(printed))
"""
# torch_geometric, which skorch imports where it can, warns about itself.
_QUIET = ("-W", "error", "-W", "ignore:`torch.jit.script` is deprecated:FutureWarning")


def blocks(path):
    """Blocks of a page as ``[code, output or None, span of the output or None]``."""
    text = Path(path).read_text()
    rst = Path(path).suffix == ".rst"
    found, end = [], 0
    for match in (_RST if rst else _MARKDOWN).finditer(text):
        kind, body = match.groups()
        if rst:
            body = "\n".join(line[3:] for line in body.rstrip().split("\n")) + "\n"
        if kind == "python":
            found.append([body, None, None])
        elif found and found[-1][1] is None and not text[end : match.start()].strip():
            found[-1][1:] = body, match.span(2)
        end = match.end()
    return found


def run(codes, cwd=None):
    """What each block prints; an error or a warning of any of them is raised."""
    done = subprocess.run(
        [sys.executable, *_QUIET, "-c", _RUN],
        input=json.dumps(codes),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def agree(said, printed):
    """Whether two outputs have the same words, and numbers that are as good as the same."""
    if _NUMBER.sub("#", said).split() != _NUMBER.sub("#", printed).split():
        return False
    pairs = zip(_NUMBER.findall(said), _NUMBER.findall(printed), strict=True)
    return all(_close(*pair) for pair in pairs)


def _close(a, b):
    if a.endswith("%") != b.endswith("%"):
        return False
    if "." not in a + b and not a.endswith("%"):
        return a == b
    margin = 3 if a.endswith("%") else 0.05
    values = [float(n.rstrip("%").replace(",", "").replace("−", "-")) for n in (a, b)]
    return abs(values[0] - values[1]) <= margin


def problems(path, cwd=None):
    """Sentences about the outputs of a page that are not what its code prints."""
    found = blocks(path)
    printed = run([code for code, *_ in found], cwd=cwd)
    return [
        f"{path}: the page says\n{said}and the code prints\n{now}"
        for (_, said, _), now in zip(found, printed, strict=True)
        if not agree(said or "", now)
    ]


def write(path):
    """Put on the page what its code prints now, in the blocks of output that it has."""
    found, text = blocks(path), Path(path).read_text()
    printed = run([code for code, *_ in found])
    for (_, _, span), now in reversed(list(zip(found, printed, strict=True))):
        if span:
            if Path(path).suffix == ".rst":
                now = "".join(f"   {line}".rstrip() + "\n" for line in now.splitlines()) + "\n"
            text = text[: span[0]] + now + text[span[1] :]
    Path(path).write_text(text)


def main(arguments):
    """Returns the number of pages whose outputs are wrong."""
    wrong = []
    for path in (a for a in arguments if a != "--write"):
        if "--write" in arguments:
            write(path)
        wrong += problems(path) if "--write" not in arguments else []
    print("\n".join(wrong) or "every page prints what it says")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
