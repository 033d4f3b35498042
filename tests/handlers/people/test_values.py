"""`user_data` refuses what its types do not allow, whoever writes it (S3.4)."""

from typing import Any

import pytest

from db import user_data
from handlers.people import values
from handlers.people.values import InvalidValue, check, iso, store
from tests.service.web import Web, fixture

AT = "2026-11-02T09:00:00Z"
S3_KEYS = {
    "preferences",
    "feature_flags",
    "onboarding_status",
    "session_count",
    "last_active",
    "login_history",
    "name_history",
    "last_clerk_sync",
    "signup_date",
    "signup_source",
}
GOOD: list[tuple[str, Any]] = [
    ("preferences", {"theme": "light", "notifications": True, "language": "de", "timezone": "Europe/Berlin"}),
    ("preferences", {}),
    ("feature_flags", {"beta": True}),
    ("onboarding_status", {"step": "welcome", "completed": False, "started_at": AT}),
    ("profile", {"title": "Engineer"}),
    ("session_count", 0),
    ("last_active", AT),
    ("login_history", [{"timestamp": AT, "success": True, "device": "Firefox", "ip": "192.0.2.1"}]),
    ("name_history", [{"first_name": "Ada", "last_name": "", "timestamp": AT, "changed_by": "user_1"}]),
    ("last_clerk_sync", AT),
    ("signup_date", AT),
    ("signup_source", "invite"),
]
BAD: list[tuple[str, Any]] = [
    ("anything", 1),
    ("preferences", {"theme": "blue"}),
    ("preferences", {"unknown": 1}),
    ("feature_flags", {"beta": "true"}),
    ("onboarding_status", {"step": "welcome"}),
    ("profile", {"title": ""}),
    ("session_count", -1),
    ("session_count", "3"),
    ("session_count", 2.0),
    ("session_count", True),
    ("last_active", 1_790_000_000),
    ("last_active", "1790000000"),
    ("last_active", "2026-11-02T09:00:00"),
    ("login_history", [{"timestamp": AT}]),
    ("login_history", [{"timestamp": AT, "success": "yes"}]),
    ("login_history", [{"timestamp": AT, "success": True}] * 51),
    ("name_history", [{"first_name": "Ada", "timestamp": AT}]),
    ("name_history", {}),
    ("signup_source", "robot"),
    ("signup_date", None),
]


def test_every_key_the_requirements_name_has_a_type() -> None:
    assert values.TYPES.keys() - {"profile"} == S3_KEYS


@pytest.mark.parametrize(("key", "value"), GOOD)
def test_a_value_of_its_type_is_taken_as_it_is(key: str, value: Any) -> None:
    assert check(key, value) == value


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_value_of_another_type_is_refused_by_name_and_not_repeated(key: str, value: Any) -> None:
    with pytest.raises(InvalidValue, match=key) as refused:
        check(key, value)
    assert "1790000000" not in str(refused.value)


async def test_one_bad_value_keeps_all_of_them_out(web: Web) -> None:
    await web.clerk(fixture("clerk/user.created"))
    before = web.rows("SELECT * FROM user_data")
    with pytest.raises(InvalidValue):
        await web.write(store, 1, {"last_active": AT, "session_count": -1})
    assert web.rows("SELECT * FROM user_data") == before


async def test_what_is_stored_reads_back_the_same(web: Web) -> None:
    await web.clerk(fixture("clerk/user.created"))
    good = dict(GOOD)
    await web.write(store, 1, good)
    assert await web.service.database.read(user_data.load, 1) == good


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_788_160_212_345, "2026-08-31T07:10:12.345Z"),
        (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_a_time_is_kept_in_one_form_that_sorts(ms: int, text: str) -> None:
    assert iso(ms) == text
    assert check("last_active", text)
