"""Merging, on any facts: nothing known is lost, the first source decides, and provenance says who it was."""

from hypothesis import given, settings
from hypothesis import strategies as st

from leadplan_hunter.enrich_models import Lead, LeadCompany
from leadplan_hunter.lead_merge import Fact, SourcedFacts, lead_of, merge_facts

TEXT_FIELDS = [
    "firstName", "lastName", "position", "seniority", "department", "phone", "linkedin", "twitter", "location",
    "timeZone", "website", "placeId", "verificationStatus", "verifiedOn", "company.name", "company.domain",
    "company.legalName", "company.industry", "company.employees", "company.location", "company.linkedin",
]  # fmt: skip
SOURCES = st.sampled_from(["params", "place", "domain-search", "email-finder", "email-verifier", "people-find"])
TEXTS = st.sampled_from([None, "", "a", "b", "c"])
NUMBERS = st.sampled_from([None, 0, 50, 100])


@st.composite
def sourced(draw) -> SourcedFacts:
    facts: dict[str, Fact | None] = draw(st.dictionaries(st.sampled_from(TEXT_FIELDS), TEXTS))
    for name in draw(st.sets(st.sampled_from(["confidence", "company.foundedYear"]))):
        facts[name] = draw(NUMBERS)
    return SourcedFacts(draw(SOURCES), facts)


ALL = st.lists(sourced(), max_size=5).map(lambda some: [SourcedFacts("params", {"email": "a@b.example"}), *some])
EXAMPLES = settings(max_examples=80)


def known(facts: SourcedFacts, name: str) -> bool:
    return facts.facts.get(name) not in (None, "")


def on_the_wire(lead: Lead) -> dict[str, object]:
    """The lead's own fields by the names that provenance uses."""
    fields = lead.model_dump(by_alias=True, exclude_none=True)
    company = fields.pop("company", {})
    for other in ("sources", "provenance"):
        fields.pop(other)
    return fields | {f"company.{name}": value for name, value in company.items()}


def test_the_fields_here_are_those_of_a_lead():
    fields = {field.alias or name for name, field in Lead.model_fields.items()}
    company = {f"company.{field.alias or name}" for name, field in LeadCompany.model_fields.items()}
    named = {*TEXT_FIELDS, "confidence", "company.foundedYear"}
    assert named == (fields | company) - {"email", "company", "sources", "provenance"}


@given(facts=ALL)
@EXAMPLES
def test_no_known_value_is_lost(facts):
    values = on_the_wire(lead_of(facts))
    told = {name for one in facts for name in one.facts if known(one, name)}
    # A day without its status says nothing: it goes with the status that is taken.
    assert told - {"verifiedOn"} == set(values) - {"verifiedOn"}


@given(facts=ALL)
@EXAMPLES
def test_the_first_source_that_knows_a_value_decides_it(facts):
    lead = lead_of(facts)
    for name, value in on_the_wire(lead).items():
        if name == "verifiedOn":
            continue
        first = next(one for one in facts if known(one, name))
        assert (value, lead.provenance[name]) == (first.facts[name], first.source)


@given(facts=ALL)
@EXAMPLES
def test_provenance_names_exactly_the_fields_that_are_there(facts):
    lead = lead_of(facts)
    assert set(lead.provenance) == set(on_the_wire(lead))
    assert set(lead.sources) == {one.source for one in facts} - {"params", "place"}


@given(facts=ALL)
@EXAMPLES
def test_the_day_of_a_verification_is_that_of_the_status(facts):
    values = on_the_wire(lead_of(facts))
    statuses = [one for one in facts if known(one, "verificationStatus")]
    days = {one.facts["verifiedOn"] for one in statuses[:1] if known(one, "verifiedOn")}
    assert ({values["verifiedOn"]} if "verifiedOn" in values else set()) == days


@given(facts=ALL, split=st.integers(0, 6))
@EXAMPLES
def test_merging_in_parts_gives_the_same(facts, split):
    at_once = merge_facts(facts)
    first, second = merge_facts(facts[:split]), merge_facts(facts[split:])
    rest = {name: value for name, value in second.values.items() if name not in first.values}
    if "verificationStatus" in first.values:
        rest.pop("verifiedOn", None)
    assert dict(at_once.values) == {**first.values, **rest}


@given(facts=ALL)
@EXAMPLES
def test_saying_everything_twice_changes_nothing(facts):
    assert merge_facts([*facts, *facts]) == merge_facts(facts)
