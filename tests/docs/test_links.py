"""Links lead somewhere, and the documentation names nothing that only one machine has."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import EXAMPLE, FENCE, PAGES, ROOT, name_of, text_of

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FOREIGN = re.compile(
    r"(?:^|[^\w/])/(?:work|tmp|root|home|Users)/"  # folders of a machine
    r"|\bshared/|\bseeds/|\bS[1-5]\.\d"  # papers the reader does not have
    r"|pypi\.org|pythonhosted|index-url",  # where packages come from is the installer's choice
    re.IGNORECASE,
)
LINKS = [(name_of(page), link) for page in PAGES for link in LINK.findall(FENCE.sub("", text_of(page)))]


def anchors(page: Path) -> set[str]:
    """The anchors GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, link: str) -> str | None:
    """Why a link leads nowhere; None if it does not, or if it leaves the repository."""
    if re.match(r"[a-z]+:", link):
        return None if link.startswith("https://") else "not https"
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return "no such file"
    if not target.is_relative_to(ROOT):
        return "outside of the repository"
    return "no such heading" if anchor and anchor not in anchors(target) else None


@pytest.mark.parametrize(("page", "link"), sorted(set(LINKS)))
def test_a_link_leads_somewhere(page: str, link: str) -> None:
    assert broken(ROOT / page, link) is None


@pytest.mark.parametrize(
    "link", ["docs/nothing.md", "docs/operations.md#nothing", "../elsewhere.md", "http://example.com"]
)
def test_a_link_that_leads_nowhere_is_noticed(link: str) -> None:
    assert broken(ROOT / "README.md", link) is not None


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [
            (page.parent / link.partition("#")[0]).resolve()
            for link in LINK.findall(text_of(page))
            if "://" not in link
        ]
        for target in targets:
            waiting += [target] if target.suffix == ".md" else sorted(target.glob("*.md")) if target.is_dir() else []
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("page", [*PAGES, EXAMPLE], ids=name_of)
def test_a_page_names_nothing_of_one_machine(page: Path) -> None:
    assert FOREIGN.findall(text_of(page)) == []


def test_the_decisions_are_numbered_and_of_one_form() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name[:4]) for page in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    for number, page in zip(numbers, decisions, strict=True):
        headings = re.findall(r"^#+ .*$", text_of(page), re.MULTILINE)
        assert headings[0].startswith(f"# {number}. ")
        assert headings[1:] == ["## Context", "## Decision", "## Consequences", "## Rejected"]
