"""Making a tool fail: through the sandbox where it calls an API, by not starting it where it doesn't."""

from collections.abc import Mapping
from typing import Final

API_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "GOOGLE_PLACES_SEARCH": ("/v1/places:searchText",),
    "HUNTER_DOMAIN_LOOKUP": ("/v2/domain-search",),
    "HUNTER_ENRICH": ("/v2/email-verifier", "/v2/people/find", "/v2/companies/find"),
    "EMAIL_SEQUENCE_SETUP": ("/v2/sequences", "/v2/campaigns"),
}
"""Path prefixes of the API calls of each tool that makes any."""

_STATUS = 503


async def break_api(sandbox_url: str, tool: str) -> None:
    """Have the sandbox answer 503 to every API call of a tool.

    Raises:
        httpx.HTTPStatusError: the sandbox refused the fault.
    """
    import httpx  # noqa: PLC0415 - only `demo --fail` needs it

    async with httpx.AsyncClient(base_url=sandbox_url) as http:
        for path in API_PATHS[tool]:
            answer = await http.post("/admin/faults", json={"path": path, "status": _STATUS})
            answer.raise_for_status()
