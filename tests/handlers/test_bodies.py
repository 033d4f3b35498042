"""Raw bytes become a JSON object, or a reason that does not repeat what was sent."""

import json

import pytest

from handlers.bodies import json_object
from handlers.registry import Malformed


@pytest.mark.parametrize(
    "value",
    [{}, {"a": [1, -2.5, None, True, "ø", {"": {}}]}, {"big": 10**300}, {"text": "\U0001f600 \u2028 \x7f"}],
)
def test_an_object_is_read_whole(value: dict[str, object]) -> None:
    assert json_object(json.dumps(value).encode()) == value
    assert json_object(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_word_that_only_looks_like_a_nul_is_allowed() -> None:
    assert json_object(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'{"a": "\xc3"}', "not UTF-8"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"[]", "no object"),
        (b"1", "no object"),
        (b"null", "no object"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": Infinity}', "not JSON"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"a": [{"b": "x\\u0000y"}]}', "NUL"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
)
def test_anything_else_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as refused:
        json_object(body)
    assert len(str(refused.value)) < 200


def test_the_reason_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(Malformed) as refused:
        json_object(b'{"email": "ada@example.com", "token": xoxb-secret}')
    assert "ada@" not in str(refused.value)
    assert "xoxb" not in str(refused.value)
