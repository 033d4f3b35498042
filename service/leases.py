"""What becomes of a mark: the transactions that lease it, and that end the lease with what happened.

Whose failure is it? The sink's (time-out, 5xx, 401): the sink is paused and probed with one mark at once,
after 2, 4, 8, 16 s, then every minute, one alert after the 16 s step; no mark spends an attempt. A refusal
of one mark: that mark again at once, after 2, 4, 8, 16 s, then dead, one alert, kept for replay (S2.7).
"""

import time
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection

from db import inbox, limits, outbox, sync
from db.outbox import LEASE_MS, Claim
from handlers.alerts import CHANNEL, alert
from handlers.registry import Context, Delivered, Throttled
from handlers.schedule import CLOCK

log = structlog.get_logger()

CLOCK_SKEW_MS = 5_000  # between a process and the database's server
RETRY_AFTER_MS = (0, 2_000, 4_000, 8_000, 16_000)  # after each refusal of one mark


@dataclass(frozen=True, slots=True)
class Work:
    """What one look into the outbox gave: leased marks, whether they are a probe, and when to look again (ms)."""

    claims: list[Claim]
    probe: bool = False
    next_at: int | None = None


def take_work(tx: Connection, sink: str, token: str, now: int, most: int) -> Work:
    """Claim due marks, unless the sink is off, paused or told us to wait."""
    gate = limits.gate(tx, sink)
    if gate.off:
        return Work([])
    if gate.blocked_until > now:
        return Work([], next_at=gate.blocked_until)
    if gate.paused:
        gate = limits.held(tx, sink)  # of two processes one sends the probe
        if gate.probe_at > now:
            return Work([], next_at=gate.probe_at)
        claims = outbox.claim(tx, sink, token, now, 1)
        if claims:
            limits.probing(tx, sink, now + LEASE_MS)
        return Work(claims, probe=True, next_at=outbox.next_at(tx, sink))
    return Work(outbox.claim(tx, sink, token, now, most), next_at=outbox.next_at(tx, sink))


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at one mark gave: its lease, or when to look again (ms), or neither: nothing is to be done."""

    claim: Claim | None = None
    probe: bool = False
    again_at: int | None = None


def take_one(tx: Connection, workspace_id: int, sink: str, key: str, token: str, now: int) -> Look:
    """Claim this mark if it is due, unless the sink is off, paused or told us to wait. If somebody holds it, have
    it looked at once their lease has ended.
    """
    gate = limits.gate(tx, sink)
    if gate.paused:
        gate = limits.held(tx, sink)
    if gate.off:
        return Look()
    shut_until = max(gate.blocked_until, gate.probe_at if gate.paused else 0)
    if shut_until > now:
        return Look(again_at=shut_until)
    claim = outbox.claim_one(tx, workspace_id, sink, key, token, now)
    if claim:
        if gate.paused:
            limits.probing(tx, sink, now + LEASE_MS)
        return Look(claim, gate.paused)
    found = outbox.open_at(tx, workspace_id, sink, key)
    if found is None:
        return Look()
    status, at = found
    if status == "leased":
        outbox.wake(tx, workspace_id, sink, key, at)
        return Look()
    # Whoever made it due later had it looked at then; but no two clocks agree.
    return Look(again_at=at) if at - now <= CLOCK_SKEW_MS else Look()


def clock_was_set(tx: Connection, sink: str, step: int, now: int) -> None:
    """The clock jumped by `step` ms: no lease ends by that, and nothing waits for a time that is over.

    Every process that serves the sink does this, and once more does no harm.
    """
    outbox.begin_leases_anew(tx, sink, now)
    if step < 0:
        limits.bring_forward(tx, sink, -step, now)
        inbox.hurry(tx, now)
        if sink != CLOCK:  # jobs are due by the clock on the wall, whatever it says
            outbox.bring_forward(tx, sink, -step, now)


@dataclass(slots=True, eq=False)
class Attempt:
    """One leased mark on its way; `probe`: its outcome decides whether a paused sink works again."""

    claim: Claim
    probe: bool
    began_at: int
    began: float = field(default_factory=time.perf_counter)

    @property
    def duration_ms(self) -> int:
        return round((time.perf_counter() - self.began) * 1000)


def settle(tx: Connection, attempt: Attempt, done: Delivered, now: int) -> bool:
    """Delivered: remember what the other side holds. Not if the lease went to somebody else meanwhile."""
    claim = attempt.claim
    status = "settled" if done.again_at is None else "due"
    if not outbox.settle(tx, claim, now, status=status, next_at=done.again_at, rearmed=done.again_at is not None):
        return False
    if done.known is not None:
        sync.remember(tx, claim.workspace_id, claim.sink, claim.key, done.known, now)
    _resume(tx, claim.sink)
    _log(tx, attempt, done.operation, "delivered")
    return True


def put_back(tx: Connection, attempt: Attempt, wait: Throttled, now: int) -> bool:
    """Nobody's failure: due again when the other side will listen."""
    claim, until = attempt.claim, now + round(wait.retry_after_s * 1000)
    limits.block(tx, claim.sink, until)
    if attempt.probe:
        limits.probing(tx, claim.sink, until)
    _log(tx, attempt, "deliver", "throttled", str(wait))
    return outbox.settle(tx, claim, now, status="due", next_at=until, attempts=claim.attempts)


def pause_sink(tx: Connection, attempt: Attempt, reason: str, context: Context, now: int) -> bool:
    """The sink's own failure: the mark is due again as it was, the sink is paused and will be probed."""
    claim = attempt.claim
    # What was under way when the sink went down says nothing new.
    counts = attempt.probe or not limits.held(tx, claim.sink).paused
    if counts and limits.pause(tx, claim.sink, reason, now) == limits.ALERT_AT:
        _alert_paused(tx, claim.sink, reason, context, now)
    _log(tx, attempt, "deliver", "sink down", reason)
    return outbox.settle(tx, claim, now, status="due", attempts=claim.attempts, error=reason)


def _alert_paused(tx: Connection, sink: str, reason: str, context: Context, now: int) -> None:
    text = (
        f"{sink} does not take what Rollcall sends ({reason}). It is paused and tried every minute: `rollcall doctor`."
    )
    quiet = Context(context.workspace_id) if sink == CHANNEL else context  # no alert through what is broken
    alert(tx, quiet, f"paused:{sink}:{now}", text, now)


def blame_mark(tx: Connection, attempt: Attempt, reason: str, context: Context, now: int) -> bool:
    """The other side refused this one mark: again a few times, then dead."""
    claim = attempt.claim
    refusals = claim.attempts + 1
    dead = refusals > len(RETRY_AFTER_MS)
    wait = 0 if dead else RETRY_AFTER_MS[refusals - 1]
    if attempt.probe:
        _resume(tx, claim.sink)  # it answered: it is this mark that is wrong
    _log(tx, attempt, "deliver", "refused", reason)
    held = outbox.settle(
        tx, claim, now, status="dead" if dead else "due", next_at=now + wait, attempts=refusals, error=reason
    )
    if held and claim.sink != CHANNEL and _is_dead(tx, claim):
        text = f"{claim.sink} refused {claim.key} {refusals} times: `rollcall actions show {claim.id}`."
        alert(tx, context, f"dead:{claim.sink}:{claim.id}:{claim.generation}", text, now)
    return held


def _is_dead(tx: Connection, claim: Claim) -> bool:
    """Not if the mark moved while it was refused: then it goes again, from the first attempt."""
    found = outbox.detail(tx, claim.id)
    return found is not None and found["status"] == "dead"


def _resume(tx: Connection, sink: str) -> None:
    """The sink works again. What somebody switched off meanwhile stays off."""
    if not limits.gate(tx, sink).paused:
        return
    gate = limits.held(tx, sink)
    if gate.paused and not gate.off:
        limits.resume(tx, sink)
        log.info("sink_resumed", sink=sink)


def _log(tx: Connection, attempt: Attempt, operation: str, outcome: str, error: str | None = None) -> None:
    sync.log(
        tx,
        attempt.claim,
        at=attempt.began_at,
        duration_ms=attempt.duration_ms,
        operation=operation,
        outcome=outcome,
        error=error,
    )
