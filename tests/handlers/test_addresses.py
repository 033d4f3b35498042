"""An e-mail address is kept in one form, or not at all (S1.8)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.addresses import address


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Byron+OnCall@Example.CO.UK\n", "ada.byron+oncall@example.co.uk"),
        ("o'rourke@example.com", "o'rourke@example.com"),
        ("zoë@exämple.com", "zoë@exämple.com"),
        ("a@b.c", "a@b.c"),
        ("x" * 242 + "@example.com", "x" * 242 + "@example.com"),
    ],
)
def test_what_can_be_an_address_is_kept_trimmed_and_in_lower_case(text: str, kept: str) -> None:
    assert address(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "ada@.com",
        "ada@example.",
        "ada@exam..ple.com",
        "ada@a@example.com",
        "ada byron@example.com",
        "ada@exam ple.com",
        "<ada@example.com>",
        "a,b@example.com",
        "ada@example.com,bob@example.com",
        "ada\x00@example.com",
        "ada\n@example.com",
        '"ada"@example.com',
        "mailto:ada@example.com",
        "x" * 243 + "@example.com",
    ],
)
def test_what_cannot_be_one_is_none(text: str | None) -> None:
    assert address(text) is None


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.text(max_size=20) | st.from_regex(r"\s*[^@\s]{1,9}@[^@\s]{1,9}\.[^@\s]{1,5}\s*"))
def test_the_kept_form_is_kept_as_it_is(text: str) -> None:
    kept = address(text)
    assert kept is None or address(kept) == kept
