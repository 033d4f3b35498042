"""Notion's user endpoints: members and bots in no order, guests only by id, addresses by capability."""

from zlib import crc32

from service.sandbox.notion_ask import Ask, listing
from service.sandbox.notion_errors import invalid
from service.sandbox.notion_query import MAX_PAGE_SIZE, page_size
from service.sandbox.wire import Json


def me(ask: Ask) -> Json:
    return ask.store.bot


def list_users(ask: Ask) -> Json:
    size = page_size(ask.call.one("page_size") or MAX_PAGE_SIZE, "query.page_size")
    members = [user_id for user_id in ask.store.users if user_id not in ask.store.guests]
    members.sort(key=lambda user_id: crc32(user_id.encode()))
    cursor = ask.call.one("start_cursor")
    if cursor is not None and cursor not in ask.store.users:
        invalid(f"start_cursor provided is invalid: {cursor}")
    start = members.index(cursor) if cursor in members else 0
    part = members[start : start + size]
    following = members[start + size] if start + size < len(members) else None
    return listing([ask.render.user(user_id) for user_id in part], following, "user")


def retrieve_user(ask: Ask) -> Json:
    user_id: str = ask.store.user(ask.ids[0])["id"]
    return ask.render.user(user_id)
