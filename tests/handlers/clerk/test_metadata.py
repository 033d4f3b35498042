"""Clerk's metadata, which browsers may write: what fits is kept, what does not is dropped, the event applies (S3.4)."""

from typing import Any

import pytest

from tests.handlers.saying import said
from tests.service.web import Json, Web

STARTED = {"step": "profile", "completed": False, "started_at": "2026-11-02T09:00:00Z"}


async def kept(web: Web, key: str, value: Any) -> Any:
    side = "public_metadata" if key == "feature_flags" else "unsafe_metadata"
    assert await web.clerk(said(**{side: {key: value}})) == "applied"
    return web.data("user_ada").get(key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feature_flags", {"new_calendar": True, "beta": False}),
        ("preferences", {"theme": "dark", "notifications": False, "language": "de-DE", "timezone": "Europe/Berlin"}),
        ("preferences", {"theme": "system"}),
        ("onboarding_status", STARTED),
        (
            "onboarding_status",
            STARTED | {"step": "complete", "completed": True, "completed_at": "2026-11-03T09:00:00Z"},
        ),
    ],
)
async def test_what_fits_is_kept_as_it_is(web: Web, key: str, value: Json) -> None:
    assert await kept(web, key, value) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feature_flags", {"new_calendar": "yes"}),
        ("feature_flags", {"new_calendar": 1}),
        ("feature_flags", ["new_calendar"]),
        ("feature_flags", {str(number): True for number in range(201)}),
        ("preferences", {"theme": "midnight"}),
        ("preferences", {"notifications": "yes"}),
        ("preferences", {"notifications": 1}),
        ("preferences", {"language": ""}),
        ("preferences", {"language": 7}),
        ("preferences", {"timezone": "x" * 65}),
        ("preferences", "dark"),
        ("onboarding_status", "profile"),
        ("onboarding_status", {"step": "profile"}),
        ("onboarding_status", STARTED | {"step": "elsewhere"}),
        ("onboarding_status", STARTED | {"completed": "no"}),
        ("onboarding_status", STARTED | {"completed": 0}),
        ("onboarding_status", STARTED | {"started_at": "yesterday"}),
        ("onboarding_status", STARTED | {"started_at": "2026-11-02T09:00:00"}),
        ("onboarding_status", STARTED | {"started_at": 1_790_000_000}),
    ],
)
async def test_what_does_not_fit_is_dropped_whole(web: Web, key: str, value: Any) -> None:
    assert await kept(web, key, value) is None
    assert web.person("user_ada")["name"] == "Ada Byron"


async def test_a_field_nobody_knows_is_left_out(web: Web) -> None:
    assert await kept(web, "preferences", {"theme": "dark", "digest": "daily"}) == {"theme": "dark"}


async def test_a_field_set_to_null_is_as_good_as_unset(web: Web) -> None:
    assert await kept(web, "preferences", {"theme": "dark", "timezone": None}) == {"theme": "dark"}


async def test_metadata_that_is_taken_back_is_gone(web: Web) -> None:
    await web.clerk(
        said(public_metadata={"feature_flags": {"beta": True}}, unsafe_metadata={"preferences": {"theme": "dark"}})
    )
    await web.clerk(said(updated=1))
    assert {"feature_flags", "preferences"}.isdisjoint(web.data("user_ada"))


async def test_a_newer_invalid_value_does_not_leave_the_old_one_standing(web: Web) -> None:
    await web.clerk(said(unsafe_metadata={"preferences": {"theme": "dark"}}))
    await web.clerk(said(updated=1, unsafe_metadata={"preferences": {"theme": "midnight"}}))
    assert "preferences" not in web.data("user_ada")


@pytest.mark.parametrize(
    ("metadata", "source"),
    [({}, "clerk"), ({"signup_source": "invite"}, "invite"), ({"signup_source": "admin"}, "admin")]
    + [({"signup_source": odd}, "clerk") for odd in ("robot", 5, ["invite"], None)],
)
async def test_the_way_somebody_signed_up_is_one_of_three(web: Web, metadata: Json, source: str) -> None:
    await web.clerk(said(public_metadata=metadata))
    assert web.data("user_ada")["signup_source"] == source


async def test_metadata_may_be_null(web: Web) -> None:
    assert await web.clerk(said(public_metadata=None, unsafe_metadata=None, private_metadata=None)) == "applied"
