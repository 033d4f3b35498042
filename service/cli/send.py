"""`rollcall send`: a webhook signed as Clerk or Slack would sign it, to try things out."""

import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import typer

from service.cli import session
from service.cli.console import AsJson, print_json, say
from service.cli.exits import Code, Misuse
from service.sandbox.senders import PATHS, sign_clerk, sign_slack
from service.settings import Settings, plain

URL = "ROLLCALL_URL"
TIMEOUT_S = 10.0
PLAIN = re.compile(r"[!-~]{1,256}")  # what a header may carry


def send(
    platform: Annotated[Literal["clerk", "slack"], typer.Argument(help="Whose signature to use.")],
    file: Annotated[Path, typer.Argument(help="The body: JSON as the platform sends it.", metavar="FILE")],
    url: Annotated[str | None, typer.Option(help=f"Where Rollcall runs; else {URL}, else HOST and PORT.")] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", help="Clerk's message id; the same again is a duplicate.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign FILE with this installation's own secret and send it to a running Rollcall."""
    settings = session.settings()
    body = _body(file)
    if event_id is not None and (platform != "clerk" or not PLAIN.fullmatch(event_id)):
        raise Misuse("--id is Clerk's, and plain ASCII; a Slack event has its event_id in the body")
    where = (url or os.environ.get(URL) or f"http://{settings.host}:{settings.port}").rstrip("/") + PATHS[platform]
    headers = _headers(settings, platform, body, event_id or f"msg_{secrets.token_hex(12)}")
    try:
        answer = httpx.post(where, content=body, headers=headers, timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Misuse(f"{where} does not answer ({type(error).__name__}): is `rollcall serve` running there?") from None
    if as_json:
        print_json({"code": answer.status_code, "body": _said(answer)})
    else:
        say(f"{answer.status_code} {answer.text}")
    if not answer.is_success:
        raise typer.Exit(Code.PROBLEM)


def _body(file: Path) -> bytes:
    try:
        body = file.read_bytes()
        json.loads(body)
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise Misuse(f"{file} is not JSON") from None
    return body


def _said(answer: httpx.Response) -> Any:
    """Its JSON; or its text, where something else than Rollcall answered."""
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _headers(settings: Settings, platform: str, body: bytes, event_id: str) -> dict[str, str]:
    held = settings.clerk_webhook_signing_secret if platform == "clerk" else settings.slack_signing_secret
    if not held:
        name = "CLERK_WEBHOOK_SIGNING_SECRET" if platform == "clerk" else "SLACK_SIGNING_SECRET"
        raise Misuse(f"{name} is not set: there is nothing to sign with")
    secret, now_s = plain(held)[0], int(time.time())
    signed = sign_clerk(secret, event_id, now_s, body) if platform == "clerk" else sign_slack(secret, now_s, body)
    return {**signed, "Content-Type": "application/json"}
