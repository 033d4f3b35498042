"""What came of a demo: the answers its webhooks got, and where the end is not what the story itself says."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from db import people
from handlers.notion.comparing import Comparison
from service.sandbox.senders import Receipt
from service.sandbox.story import Story

UNDONE = ("waiting", "failed")  # what no event may be in the end


@dataclass(slots=True)
class Result:
    """What came out. `agrees`: Notion shows exactly our people and shifts, and the people are those of the story."""

    answers: dict[str, Counter[str]] = field(default_factory=dict)  # by kind: `clerk user.created`
    inbox: dict[str, int] = field(default_factory=dict)
    people: int = 0
    comparison: Comparison | None = None
    calendar: Comparison | None = None
    unexpected: list[str] = field(default_factory=list)

    @property
    def total(self) -> Counter[str]:
        return sum(self.answers.values(), Counter())

    def of(self, platform: str) -> Counter[str]:
        """The answers one platform got."""
        return sum((count for kind, count in self.answers.items() if kind.startswith(f"{platform} ")), Counter())

    @property
    def agrees(self) -> bool:
        return _agrees(self.comparison) and _agrees(self.calendar) and not self.unexpected

    def note(self, receipt: Receipt) -> None:
        said = receipt.body.get("status") if isinstance(receipt.body, dict) else None
        kind = f"{receipt.delivery.platform} {receipt.delivery.type}"
        self.answers.setdefault(kind, Counter())[str(said or receipt.status or "no answer")] += 1


def _agrees(compared: Comparison | None) -> bool:
    return compared is not None and not compared.drifts and not compared.unsettled


def miscounted(told: Story, result: Result) -> list[str]:
    """Where the answers are not those the story calls for."""
    total, forged = result.total, sum(delivery.forged is not None for delivery in told.deliveries)
    accepted = total.total() - total["rejected"] - total["duplicate"]
    wrong = []
    if total["rejected"] != forged:
        wrong.append(f"{total['rejected']} webhooks were rejected, {forged} were forged")
    if sum(result.inbox.values()) != accepted:
        wrong.append(f"{accepted} different webhooks were accepted, the inbox holds {sum(result.inbox.values())}")
    return wrong + [f"{count} events are {name}" for name, count in result.inbox.items() if name in UNDONE and count]


def disagreements(told: Story, found: list[dict[str, Any]]) -> list[str]:
    """Where our people are not those of the story."""
    ours = {person["clerk_id"]: person for person in found}
    wrong = [f"{clerk_id} should be gone" for clerk_id in sorted(told.deleted_clerk_ids & ours.keys())]
    for expected in told.expected:
        person = ours.pop(expected.clerk_id, None)
        if person is None:
            wrong.append(f"{expected.clerk_id} is missing")
            continue
        columns = ("email", "name", "first_name", "last_name", "slack_user_id", "notion_person_id", "role", "status")
        wrong.extend(
            f"{expected.clerk_id}: {column} is {person[column]!r}, not {getattr(expected, column)!r}"
            for column in columns
            if person[column] != getattr(expected, column)
        )
    return wrong + [f"{clerk_id} is nobody of the story" for clerk_id in ours.keys() - told.deleted_clerk_ids]


def everybody(tx: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in people.page(tx, most=1_000_000)]
