"""What a story expects follows from its messages in any order, and agrees with the platforms' lists."""

from collections import Counter

import pytest

from service.sandbox.people import FOREIGN_TEAM_ID, TEAM_ID
from service.sandbox.story import Story, story
from service.sandbox.story_oracle import Oracle

NOW_MS = 1_795_000_000_000


@pytest.fixture(params=[1, 7, 2026])
def told(request: pytest.FixtureRequest) -> Story:
    return story(request.param, now_ms=NOW_MS)


def test_the_lists_hold_who_existed_before(told: Story) -> None:
    assert [user["id"] for user in told.clerk_users] == [person.clerk_id for person in told.existing]
    assert {user["team_id"] for user in told.slack_users} == {TEAM_ID}
    assert any(user["deleted"] for user in told.slack_users)
    assert Counter(user["type"] for user in told.notion_users)["bot"] == 1


def test_the_final_lists_agree_with_what_is_expected(told: Story) -> None:
    final = {user["id"]: user for user in told.final_slack_users()}
    assert FOREIGN_TEAM_ID not in {user["team_id"] for user in final.values()}
    for person in told.expected:
        if person.slack_user_id:
            assert (person.status == "inactive") == final[person.slack_user_id]["deleted"]


def test_a_larger_story_only_has_more_of_it() -> None:
    larger = story(4, now_ms=NOW_MS, people=100, newcomers=40)
    assert len(larger.existing) == 100
    assert Counter(d.note for d in larger.deliveries)["deletion"] > 1
    emails = [person.email for person in larger.expected if person.email]
    assert len(emails) == len(set(emails))


def test_the_end_does_not_depend_on_the_order_of_arrival(told: Story) -> None:
    backwards = Oracle(told.team_id)
    backwards.read(reversed(told.deliveries))
    backwards.read_lists(told.clerk_users, told.slack_users, told.notion_users)
    assert backwards.people() == told.expected
    assert backwards.unlinked() == told.unlinked_slack_ids
