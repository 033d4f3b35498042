"""One row an integration, shared by all processes: its rate limit, and whether sending is paused or off."""

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    case,
    false,
    null,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.statements import Statement
from db.tables import limits as t

PROBE_AFTER_MS = (0, 2_000, 4_000, 8_000, 16_000)  # S2.7: at once, then after 2, 4, 8, 16 s
PROBE_EVERY_MS = 60_000
HOWEVER_FAR_MS = 1 << 40
ALERT_AT = len(PROBE_AFTER_MS) + 1  # the failure after the 16 s step


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a sink may send. `paused`: only a probe may, from `probe_at`. `off`: nothing, until switched on."""

    paused_at: int | None = None
    failures: int = 0
    probe_at: int = 0
    blocked_until: int = 0
    reason: str | None = None
    off: bool = False

    @property
    def paused(self) -> bool:
        return self.paused_at is not None


_now: BindParameter[int] = bindparam("now", type_=BigInteger)
_interval: BindParameter[int] = bindparam("interval", type_=BigInteger)


def _at_least_now(moment: ColumnElement[int]) -> ColumnElement[int]:
    return case((moment > _now, moment), else_=_now)


_untaken = case((t.c.next_slot == bindparam("unused"), 0), else_=t.c.next_slot)
_latest = case((_untaken > t.c.blocked_until, _untaken), else_=t.c.blocked_until)
_free = _at_least_now(_latest)
_new = insert(t).values(name=bindparam("name"), next_slot=0, blocked_until=0, failures=0, probe_at=0, off=False)
TAKE = Statement(
    _new.values(next_slot=_now + _interval)
    .on_conflict_do_update(
        index_elements=[t.c.name],
        set_={"next_slot": _free + _interval},
        where=_free <= _now + bindparam("ahead", type_=BigInteger),
    )
    .returning(t.c.next_slot)
)
NEXT_FREE = Statement(select(_free).where(t.c.name == bindparam("name")))
BEAT = Statement(_new.values(next_slot=_now).on_conflict_do_update(index_elements=[t.c.name], set_={"next_slot": _now}))
ENSURE = _new.on_conflict_do_nothing(index_elements=[t.c.name])
_of = t.c.name == bindparam("of_name")
BLOCK = update(t).where(_of, t.c.blocked_until < bindparam("until")).values(blocked_until=bindparam("until"))
STATE = (t.c.paused_at, t.c.failures, t.c.probe_at, t.c.blocked_until, t.c.reason, t.c.off)
GATE = Statement(select(*STATE).where(t.c.name == bindparam("name")))
HELD = Statement(select(*STATE).where(t.c.name == bindparam("name")).with_for_update())
SLOT = select(t.c.next_slot).where(t.c.name == bindparam("name"))
PAUSE = (
    update(t)
    .where(_of)
    .values(
        paused_at=case((t.c.paused_at.is_(None), bindparam("now")), else_=t.c.paused_at),
        failures=bindparam("failures"),
        probe_at=bindparam("probe_at"),
        reason=bindparam("reason"),
    )
)
PROBING = update(t).where(_of).values(probe_at=bindparam("probe_at"))
RESUME = update(t).where(_of).values(paused_at=null(), failures=0, probe_at=0, reason=null(), off=false())
ON = update(t).where(_of, t.c.off).values(off=false(), reason=case((t.c.paused_at.is_(None), null()), else_=t.c.reason))
OFF = update(t).where(_of).values(off=true(), reason=bindparam("reason"))
_TIMES = (t.c.next_slot, t.c.blocked_until, t.c.probe_at)
EARLIER = (
    update(t)
    .where(_of)
    .values({column: case((column > _now, _at_least_now(column - bindparam("by"))), else_=column) for column in _TIMES})
)
ALL = select(t.c.name, *STATE).order_by(t.c.name)


def take(
    tx: Connection, name: str, interval_ms: int, now: int, ahead_ms: int = HOWEVER_FAR_MS, unused_until: int = -1
) -> int:
    """When the next free slot begins, ms. It is ours now, if that is `ahead_ms` from now at most; else nobody's yet.

    `unused_until`: the end of a slot that was ours and not used. If nobody took one after it, it is free once more.
    """
    row = {"name": name, "now": now, "unused": unused_until}
    next_slot: int | None = TAKE.scalar(tx, {**row, "interval": interval_ms, "ahead": ahead_ms})
    if next_slot is not None:
        return next_slot - interval_ms
    found: int = NEXT_FREE.scalar(tx, row)
    return found


def block(tx: Connection, name: str, until: int) -> None:
    """Let nobody send before `until` (a 429's Retry-After)."""
    tx.execute(ENSURE, {"name": name})
    tx.execute(BLOCK, {"of_name": name, "until": until})


def gate(tx: Connection, name: str) -> Gate:
    row = GATE.first(tx, {"name": name})
    return Gate(*row) if row else Gate()


def held(tx: Connection, name: str) -> Gate:
    """The gate, which nobody else can change before this transaction ends."""
    row = HELD.first(tx, {"name": name})
    return Gate(*row) if row else Gate()


def pause(tx: Connection, name: str, reason: str, now: int) -> int:
    """Note a failure of the sink itself and set the next probe; returns how many there were in a row."""
    tx.execute(ENSURE, {"name": name})
    failures = held(tx, name).failures + 1
    wait = PROBE_AFTER_MS[failures - 1] if failures <= len(PROBE_AFTER_MS) else PROBE_EVERY_MS
    row = {"of_name": name, "now": now, "failures": failures, "probe_at": now + wait, "reason": reason}
    tx.execute(PAUSE, row)
    return failures


def probing(tx: Connection, name: str, until: int) -> None:
    """One probe is under way; nobody sends another before `until`."""
    tx.execute(PROBING, {"of_name": name, "probe_at": until})


def resume(tx: Connection, name: str) -> None:
    tx.execute(RESUME, {"of_name": name})


def switch_on(tx: Connection, name: str) -> None:
    """Send again what was off. A pause is no switch: it ends when a probe succeeds."""
    tx.execute(ON, {"of_name": name})


def switch_off(tx: Connection, name: str, reason: str) -> None:
    """Send nothing at all until `resume`."""
    tx.execute(ENSURE, {"name": name})
    tx.execute(OFF, {"of_name": name, "reason": reason})


def beat(tx: Connection, name: str, now: int) -> None:
    """Whoever goes by this name is alive; the time goes back with a clock that is set back."""
    BEAT.run(tx, {"name": name, "now": now})


def beat_at(tx: Connection, name: str) -> int | None:
    """When it last was, ms; None: never."""
    found: int | None = tx.execute(SLOT, {"name": name}).scalar()
    return found


def all_gates(tx: Connection) -> dict[str, Gate]:
    return {row[0]: Gate(*row[1:]) for row in tx.execute(ALL)}


def bring_forward(tx: Connection, name: str, by: int, now: int) -> None:
    """What is waited for comes `by` ms earlier, though not before now."""
    tx.execute(EARLIER, {"of_name": name, "by": by, "now": now})
