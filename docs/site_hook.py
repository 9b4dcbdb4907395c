"""MkDocs hook: add README, CONTRIBUTING, CHANGELOG and the recipes to the site.

Every page has one source, whose links work in the repository. The root of the site is docs/, so
links that leave docs/, or enter it, are rewritten here. Files that they point to are copied along.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
RECIPES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/**/README.md"))
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *RECIPES)


def place_in_site(path: str) -> str:
    """Return where a file of the repository is in the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def place_in_repository(uri: str) -> str:
    """Return the file that became a page of the site."""
    if uri == "index.md":
        return "README.md"
    return uri if uri in PAGES else f"docs/{uri}"


def target(page: str, link: str) -> str:
    """Return the path in the repository that a link on a page of the repository leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def on_files(files: Any, config: Any) -> Any:
    """Add the pages outside docs/, and the files outside docs/ that any page links to."""
    for page in PAGES:
        files.append(File.generated(config, place_in_site(page), abs_src_path=str(ROOT / page)))
    pages = [place_in_repository(file.src_uri) for file in files.documentation_pages()]
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        for path in {target(page, match[3]) for match in LINK.finditer(text)}:
            outside = not path.startswith("docs/") and (ROOT / path).is_file()
            if outside and files.get_file_from_path(place_in_site(path)) is None:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_kwargs: Any) -> str:
    """Rewrite a page's links to files of the repository; a link to a folder becomes its text."""
    uri = page.file.src_uri
    source = place_in_repository(uri)

    def rewrite(match: re.Match[str]) -> str:
        image, text, link, anchor = match.groups()
        path = target(source, link)
        if (ROOT / path).is_dir():
            return text
        new = posixpath.relpath(place_in_site(path), posixpath.dirname(uri) or ".")
        return f"{image}[{text}]({new}{anchor or ''})"

    return LINK.sub(rewrite, markdown)
