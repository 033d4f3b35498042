"""What handlers are told of the installation. It needs no platform's library, so that a look is not kept waiting."""

from handlers.oncall import erasure
from handlers.registry import Context, Forget
from service.settings import Settings

# What each feature does when a person is deleted or erased, before their row goes: forget(tx, user_id, now).
FORGET: tuple[Forget, ...] = (erasure.forget,)


def context_of(settings: Settings) -> Context:
    return Context(admin_emails=settings.admin_emails, sinks=settings.sinks, forget=FORGET)
