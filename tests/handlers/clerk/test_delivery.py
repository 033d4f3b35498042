"""Svix's deliveries at our door: several signatures, either family of headers, repetitions under one id."""

import pytest

from service.sandbox.senders import sign_clerk
from tests.service.web import CLERK_SECRET, Web, fixture, sign, to_body

BODY = to_body(fixture("clerk/user.created"))


@pytest.mark.parametrize(
    "spoiled", ["{} v1,AAAA", "v1,AAAA {}", "{} ", " {}", "v1a,AAAA {}", "nocomma {}", "a,b,c {} v1,ñ", "{} {}"]
)
async def test_a_good_signature_among_bad_ones_is_applied(web: Web, spoiled: str) -> None:
    headers = sign("clerk", BODY)
    headers["svix-signature"] = spoiled.format(headers["svix-signature"], headers["svix-signature"])
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = await web.send("clerk", BODY, raw)
    assert (answer.status_code, answer.json()) == (200, {"status": "applied"})
    assert len(web.people()) == 1


async def test_webhook_headers_count_as_svix_headers_do(web: Web) -> None:
    headers = sign_clerk(CLERK_SECRET, "msg_w", int(sign("clerk", BODY)["svix-timestamp"]), BODY, family="webhook")
    assert (await web.send("clerk", BODY, headers)).json() == {"status": "applied"}
    assert (await web.send("clerk", BODY, headers)).json() == {"status": "duplicate"}
    assert [event["event_id"] for event in web.events()] == ["msg_w"]


async def test_a_captured_message_is_no_new_one_under_an_added_id(web: Web) -> None:
    session = to_body(fixture("clerk/session.created"))
    await web.clerk(BODY)
    headers = {name.replace("svix", "webhook"): value for name, value in sign("clerk", session, "msg_s").items()}
    assert (await web.send("clerk", session, headers)).json() == {"status": "applied"}
    replayed = await web.send("clerk", session, headers | {"svix-id": "msg_made_up"})
    assert replayed.json() == {"status": "duplicate"}
    assert web.data("user_3YQ0HmwguACCzm0IQlpj2blcZzl")["session_count"] == 1


async def test_the_same_id_with_another_body_is_a_repetition(web: Web) -> None:
    await web.clerk(BODY, "msg_1")
    assert await web.clerk(fixture("clerk/user.updated"), "msg_1") == "duplicate"
    assert web.people()[0]["last_name"] == "Hölm-Okafor"


async def test_the_same_event_under_two_ids_is_stale_the_second_time(web: Web) -> None:
    assert await web.clerk(BODY, "msg_1") == "applied"
    before = web.people(), web.data("user_3YQ0HmwguACCzm0IQlpj2blcZzl")
    assert await web.clerk(BODY, "msg_2") == "stale"
    assert (web.people(), web.data("user_3YQ0HmwguACCzm0IQlpj2blcZzl")) == before
