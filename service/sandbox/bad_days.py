"""Every way in which Notion and Slack are known to fail, one of each, to be drawn from at random."""

from service.sandbox.faults import Fault, notion_mix

# Slack's own words inside a 200 (docs.slack.dev/reference/methods/chat.postMessage): for a while, or until mended.
SLACK_SAYS = (
    "account_inactive",
    "channel_not_found",
    "fatal_error",
    "internal_error",
    "invalid_auth",
    "is_archived",
    "missing_scope",
    "not_in_channel",
    "ratelimited",
    "request_timeout",
    "restricted_action",
    "service_unavailable",
    "team_access_not_granted",
    "token_expired",
    "token_revoked",
)
NOTION_LIMITS = ("public_api_space_request_rate_limit", "public_api_endpoint_rate_limit", "public_api_request_blocked")


def every_notion_fault(hang: float, retry_after: float) -> list[Fault]:
    """Those of `notion_mix`, and every error code and kind of limit Notion documents besides (seconds)."""
    return [
        *notion_mix(hang, retry_after),
        *(Fault(status=429, retry_after=retry_after, reason=reason) for reason in NOTION_LIMITS),
        Fault(status=400),
        Fault(status=400, code="invalid_json"),
        Fault(status=400, code="invalid_request_url"),
        Fault(status=400, code="missing_version"),
        Fault(status=401),
        Fault(status=403),
        Fault(status=404),
        Fault(status=503, code="database_connection_unavailable"),
        Fault(status=500, committed=True),
        Fault(status=504),
        Fault(kind="html", status=200),
        Fault(kind="garbage"),
        Fault(kind="hang", seconds=hang, committed=True, late=True),
        Fault(kind="slow", seconds=hang / 4),
        Fault(kind="slow", seconds=hang / 4, committed=True, late=True),
    ]


def every_slack_fault(hang: float, retry_after: float) -> list[Fault]:
    """Errors inside a 200, haste, breakdowns, and answers lost on the way (seconds)."""
    return [
        *(Fault(status=200, code=code) for code in SLACK_SAYS),
        Fault(status=429, retry_after=retry_after),
        Fault(status=500),
        Fault(status=503),
        Fault(kind="html", status=502),
        Fault(kind="garbage"),
        Fault(kind="drop"),
        Fault(kind="drop", committed=True),
        Fault(kind="hang", seconds=hang),
        Fault(kind="slow", seconds=hang / 4),
    ]
