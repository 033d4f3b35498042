"""Only what Slack signed within five minutes comes in: their published vector, and every trick on it."""

import time

import pytest
import time_machine

from handlers.registry import InvalidSignature
from handlers.slack.signature import Verifier
from service.sandbox.senders import sign_slack

# Slack's documented example, which their SDK tests against too.
SECRET, AT = "8f742231b10e8888abcd99yyyzzz85a5", 1531420618
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
OTHER = "0123456789abcdef0123456789abcdef"


def headers(at: str = str(AT), signature: str = SIGNATURE) -> dict[str, str]:
    return {"x-slack-request-timestamp": at, "x-slack-signature": signature}


def accepts(given: dict[str, str], body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)) -> bool:
    try:
        Verifier(secrets).verify({name.lower(): value for name, value in given.items()}, body)
    except InvalidSignature:
        return False
    return True


@time_machine.travel(AT, tick=False)
def test_the_published_vector_is_accepted() -> None:
    assert accepts(headers())


@pytest.mark.parametrize(("seconds", "accepted"), [(0, True), (299, True), (301, False), (-299, True), (-301, False)])
def test_a_signature_is_good_for_five_minutes_either_way(seconds: int, accepted: bool) -> None:
    with time_machine.travel(AT + seconds, tick=False):
        assert accepts(headers()) is accepted


@pytest.mark.parametrize(
    "signature", ["", "v0=", "v0", SIGNATURE[3:], SIGNATURE.upper(), SIGNATURE[:-1], SIGNATURE + "0", "v0=ñandú"]
)
@time_machine.travel(AT, tick=False)
def test_nothing_but_a_whole_signature_counts(signature: str) -> None:
    assert not accepts(headers(signature=signature))


@pytest.mark.parametrize("at", ["", f"{AT}.0", "1_531_420_618", f" {AT}", "-1", "1e9", "١٥٣١٤٢٠٦١٨", "9" * 400])
@time_machine.travel(AT, tick=False)
def test_a_time_that_is_not_plain_digits_is_refused(at: str) -> None:
    assert not accepts(headers(at=at))


@pytest.mark.parametrize("left_out", ["x-slack-request-timestamp", "x-slack-signature"])
@time_machine.travel(AT, tick=False)
def test_a_missing_header_is_refused(left_out: str) -> None:
    assert not accepts({name: value for name, value in headers().items() if name != left_out})


@time_machine.travel(AT, tick=False)
def test_a_changed_body_is_refused() -> None:
    assert not accepts(headers(), BODY + b" ")


def test_old_and_new_secret_both_count_while_one_replaces_the_other() -> None:
    now = int(time.time())
    for secret in (SECRET, OTHER):
        assert accepts(sign_slack(secret, now, BODY), secrets=(SECRET, OTHER))
    assert not accepts(sign_slack(OTHER, now, BODY))


@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER, SECRET)])
def test_bytes_that_are_no_text_are_verified_all_the_same(secrets: tuple[str, ...]) -> None:
    body, now = b'{"a":"\xff\xfe"}', int(time.time())
    assert accepts(sign_slack(SECRET, now, body), body, secrets)
    assert not accepts(sign_slack(SECRET, now, body), body + b"\xff", secrets)
    assert not accepts(sign_slack(SECRET, now - 3600, body), body, secrets)
