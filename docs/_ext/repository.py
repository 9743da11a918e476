"""The link to the repository in every page's heading, where the project knows its address."""

import os
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def find_repository(pyproject=PYPROJECT, environ=os.environ):
    """Address in ``[project.urls]``, else that of the forge that builds the site, else None."""
    urls = tomllib.loads(Path(pyproject).read_text()).get("project", {}).get("urls", {})
    if "Repository" in urls:
        return urls["Repository"]
    if environ.get("GITHUB_REPOSITORY"):
        return f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{environ['GITHUB_REPOSITORY']}"
    return None


def link_repository(address):
    """The theme's options of a link to `address`; none without one."""
    if address is None:
        return {}
    link = {"name": "Repository", "url": address, "icon": "fa-solid fa-code-branch"}
    return {"icon_links": [link]}
