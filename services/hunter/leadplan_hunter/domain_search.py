"""The search of one domain, page by page, and what is kept of it between the attempts of a step."""

import math
from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from leadplan_hunter.api import HunterApi
from leadplan_hunter.api_answers import DomainSearch, EmailFound
from leadplan_hunter.errors import NothingKnownError, PersonObjectedError
from leadplan_hunter.lookup_models import DomainContact, DomainLookupParams

_PAGE_LIMIT = 100
_ADDRESSES_PER_CREDIT = 10


class DomainFindings(BaseModel):
    """What is known of a domain after a page, complete or not. It is the checkpoint's item of the domain's name.

    Attributes:
        end: how the search ended; None while there are pages left.
        company, pattern: what Hunter calls the company, and how its addresses are formed.
        contacts: without repeats, at most as many as are wanted.
        read: addresses that Hunter returned so far, which is where the next page begins.
        total: addresses that Hunter has, as far as it says so.
        credits: what the pages cost.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    end: Literal["searched", "mail_provider", "objected"] | None = None
    company: str | None = None
    pattern: str | None = None
    contacts: list[DomainContact] = []
    read: int = 0
    total: int = 0
    credits: int = 0


class DomainSearcher:
    """Searches domains with one step's filters.

    Args:
        api: where to ask.
        params: filters, and how many contacts to take.
        keep: told what is known of a domain after each page, with the domain first.
    """

    def __init__(
        self, api: HunterApi, params: DomainLookupParams, keep: Callable[[str, DomainFindings], Awaitable[None]]
    ) -> None:
        self._api = api
        self._filters = params.search_filters()
        self._wanted = params.contacts_per_domain
        self._keep = keep

    async def search(self, domain: str, known: DomainFindings) -> None:
        """Read the pages that are left.

        Raises:
            StepStoppedError: Hunter refuses every call: key, permission, quota or rate limit.
            CallFailedError: this search failed; the pages before it are kept.
        """
        while known.end is None:
            known = await self._next(domain, known)
            await self._keep(domain, known)

    async def _next(self, domain: str, known: DomainFindings) -> DomainFindings:
        limit = min(_PAGE_LIMIT, self._wanted - known.read)
        try:
            page = await self._api.search_domain(domain, self._filters, limit=limit, offset=known.read)
        except NothingKnownError:
            return known.model_copy(update={"end": "searched"})
        except PersonObjectedError:
            return DomainFindings(end="objected", credits=known.credits)
        return self._with_page(known, page.data, (page.meta.results if page.meta else None) or 0)

    def _with_page(self, known: DomainFindings, page: DomainSearch, total: int) -> DomainFindings:
        contacts = {contact.email: contact for contact in known.contacts}
        for found in page.emails:
            if found is not None:
                contacts.setdefault(found.value.lower(), _contact(found))
        read = known.read + len(page.emails)
        # A page can be shorter than asked for although there is more.
        last = read >= min(self._wanted, total) or not page.emails
        credits_ = known.credits + math.ceil(len(page.emails) / _ADDRESSES_PER_CREDIT)
        if page.webmail or page.disposable:
            return DomainFindings(end="mail_provider", credits=credits_)
        return DomainFindings(
            end="searched" if last else None,
            company=known.company or page.organization,
            pattern=known.pattern or page.pattern,
            contacts=list(contacts.values())[: self._wanted],
            read=read,
            total=total,
            credits=credits_,
        )


def _contact(found: EmailFound) -> DomainContact:
    named = found.first_name or found.last_name
    # Without a status there is nothing that a date could be of.
    verification = found.verification if found.verification and found.verification.status else None
    return DomainContact(
        email=found.value.lower(),
        first_name=found.first_name,
        last_name=found.last_name,
        position=found.position,
        department=found.department,
        seniority=found.seniority,
        type=found.type or ("personal" if named else "generic"),
        confidence=found.confidence or 0,
        verification_status=verification.status if verification else None,
        verified_on=verification.date if verification else None,
        linkedin=found.linkedin,
        phone=found.phone_number,
    )
