"""Only what Clerk signed within five minutes comes in: the published vector, and every trick on it."""

import base64
import time

import pytest
import time_machine

from handlers.clerk.signature import Verifier, WrongSecret, key_of, message_id
from handlers.registry import InvalidSignature
from service.sandbox.senders import sign_clerk

# The published example of Standard Webhooks and of docs.svix.com.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
VALID = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes or so").decode()


def headers(family: str = "svix", id_: str = ID, at: str = str(AT), signature: str = VALID) -> dict[str, str]:
    return {f"{family}-id": id_, f"{family}-timestamp": at, f"{family}-signature": signature}


def accepts(given: dict[str, str], body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)) -> bool:
    try:
        Verifier(secrets).verify(given, body)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("family", ["svix", "webhook"])
@time_machine.travel(AT, tick=False)
def test_the_published_vector_is_accepted_under_either_name(family: str) -> None:
    assert accepts(headers(family))


@pytest.mark.parametrize(("seconds", "accepted"), [(0, True), (299, True), (301, False), (-299, True), (-301, False)])
def test_a_signature_is_good_for_five_minutes_either_way(seconds: int, accepted: bool) -> None:
    with time_machine.travel(AT + seconds, tick=False):
        assert accepts(headers()) is accepted


@pytest.mark.parametrize("signature", ["", "v1,", "v1", VALID[:-2], f"v1a,{VALID[3:]}", f"v2,{VALID[3:]}", f"{VALID}x"])
@time_machine.travel(AT, tick=False)
def test_nothing_but_a_whole_signature_of_version_1_counts(signature: str) -> None:
    assert not accepts(headers(signature=signature))


@pytest.mark.parametrize(
    "signature",
    [
        f"v1,bm90IGl0 {VALID}",
        f"{VALID} v1,bm90IGl0",
        f"{VALID} ",
        f" {VALID}",
        f"v1a,{VALID[3:]} {VALID}",
        f"nocomma {VALID} a,b,c",
        f"v1,ñandú {VALID}",
        f"v1,{'A' * 43}= {VALID}",
    ],
)
@time_machine.travel(AT, tick=False)
def test_one_good_signature_among_bad_ones_is_enough(signature: str) -> None:
    assert accepts(headers(signature=signature))


@pytest.mark.parametrize(
    "at", ["", "123.9", f"{AT}.9", "1_614_265_330", f" {AT}", f"{AT} ", f"+{AT}", "-1", "1e9", "١٦١٤٢٦٥٣٣٠", "9" * 400]
)
@time_machine.travel(AT, tick=False)
def test_a_time_that_is_not_plain_digits_is_refused(at: str) -> None:
    assert not accepts(headers(at=at))


@pytest.mark.parametrize("left_out", ["svix-id", "svix-timestamp", "svix-signature"])
@time_machine.travel(AT, tick=False)
def test_a_missing_header_is_refused(left_out: str) -> None:
    given = {name: value for name, value in headers().items() if name != left_out}
    assert not accepts(given)


@pytest.mark.parametrize("id_", ["msg 1", "msg\n1", "mśg", "x" * 257])
def test_an_id_that_could_not_be_kept_is_refused_though_it_is_signed(id_: str) -> None:
    given = sign_clerk(SECRET, id_, int(time.time()), BODY)
    assert not accepts(given)


@time_machine.travel(AT, tick=False)
def test_a_changed_body_or_id_is_refused() -> None:
    assert not accepts(headers(), BODY + b" ")
    assert not accepts(headers(id_="msg_other"))


def test_old_and_new_secret_both_count_while_one_replaces_the_other() -> None:
    now = int(time.time())
    for secret in (SECRET, OTHER):
        assert accepts(sign_clerk(secret, ID, now, BODY), secrets=(SECRET, OTHER))
    assert not accepts(sign_clerk(OTHER, ID, now, BODY), secrets=(SECRET,))


@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER, SECRET)])
def test_bytes_that_are_no_text_are_verified_all_the_same(secrets: tuple[str, ...]) -> None:
    body, now = b'{"a":"\xff\xfe"}', int(time.time())
    assert accepts(sign_clerk(SECRET, ID, now, body), body, secrets)
    assert not accepts(sign_clerk(SECRET, ID, now, body), body + b"\xff", secrets)
    assert not accepts(sign_clerk(SECRET, ID, now - 3600, body), body, secrets)


@time_machine.travel(AT, tick=False)
def test_the_message_id_is_the_one_that_was_signed() -> None:
    """Else a replayed message could pass for a new one under an id of the sender's choice."""
    assert message_id(headers("svix")) == message_id(headers("webhook")) == ID
    mixed = headers("webhook") | {"svix-id": "msg_made_up"}
    assert accepts(mixed)
    assert message_id(mixed) == ID


@pytest.mark.parametrize("secret", ["", "whsec_", "abc", "whsec_abc", "whsec_!!!!", SECRET.removeprefix("whsec_")])
def test_a_secret_that_cannot_be_one_is_refused(secret: str) -> None:
    with pytest.raises(WrongSecret, match="whsec_"):
        key_of(secret)
