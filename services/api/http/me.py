"""GET /v1/me: what this is, and what the token may do."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from foundation.store.lease import this_process
from foundation.version import version
from services.api.access.identity import Identity
from services.api.http.caller import identified

router = APIRouter(tags=["about"])


class Me(BaseModel):
    """Who the token belongs to, and which instance answers."""

    name: str
    """The token's name."""
    source: str
    """The CloudEvents source that it places orders as."""
    scopes: list[str]
    version: str
    """The version of Sitecrew."""
    instance: str


@router.get("/me")
def me(who: Annotated[Identity, Depends(identified)]) -> Me:
    """Say whose token this is, and what it may do."""
    return Me(
        name=who.name,
        source=who.source,
        scopes=sorted(who.scopes),
        version=version(),
        instance=this_process(),
    )
