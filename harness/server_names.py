"""The names of models that a server lists: some answer to any name, with the model that they have."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from harness import http
from harness.http_replies import TryError, check_reply, decode_json, read_body

PATIENCE_S = 10.0
SHOWN = 8  # names


class ServedModel(BaseModel):
    id: str


class ModelList(BaseModel):
    data: list[ServedModel]


def explain_unlisted(server: http.JsonServer, name: str) -> str:
    """That the server does not list a model of this name; "" where it does, or gives no list."""
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:  # a loop of its own, as the caller may be in one
        names = portal.call(list_names, server)
    if not names or name in names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"{server.address.label} answers to {name!r}, but lists {', '.join(map(server.show, names[:SHOWN]))}{more}: "
        "which model answered is not known, and another name may stand for the same one"
    )


async def list_names(server: http.JsonServer) -> list[str]:
    """The names; none where no list comes at once."""
    import aiohttp

    headers = {"Authorization": server.address.authorization} if server.address.authorization else {}
    try:
        async with (
            asyncio.timeout(min(PATIENCE_S, server.timeout)),
            http.open_session(1) as session,
            session.get(
                server.address.url("/models"), headers=headers, allow_redirects=False, proxy=server.proxy.url
            ) as response,
        ):
            if response.status != 200:
                return []
            reply = check_reply(server.answers.redact_value(decode_json(await read_body(response))), ModelList, server.show)
            return [model.id for model in reply.data]
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TryError):
        return []  # no server has to have one
