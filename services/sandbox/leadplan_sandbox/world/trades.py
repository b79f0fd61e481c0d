"""Trades: a table of common ones, and plausible facts for every other word."""

from dataclasses import dataclass

from leadplan_sandbox.world.spelling import singular, words_of


@dataclass(frozen=True)
class Trade:
    """A line of business.

    Attributes:
        token: one word without hyphens that stands for it in domains.
        place_type: Google's type (Table A of its place types where there is one).
        related_type: another of Google's types that some of its places have instead; empty for none.
        endings: how company names of the trade end.
        industry: what Hunter calls it.
    """

    token: str
    place_type: str
    related_type: str
    endings: tuple[str, ...]
    industry: str


def _trade(token: str, place_types: str, endings: str, industry: str) -> Trade:
    place_type, _, related_type = place_types.partition("|")
    return Trade(token, place_type, related_type, tuple(endings.split("|")), industry)


_DENTAL = _trade("dental", "dentist|dental_clinic", "Dental Care|Dental Practice|Dental Studio|Dentistry", "Dentists")
_LEGAL = _trade("law", "lawyer|consultant", "Law|Solicitors|Legal|& Partners", "Law Practice")
_MEDICAL = _trade("clinic", "doctor|medical_clinic", "Clinic|Medical Practice|Surgery", "Medical Practices")
_PROPERTY = _trade("estates", "real_estate_agency|apartment_complex", "Estates|Property|Homes", "Real Estate")
_ACCOUNTS = _trade("accounting", "accounting|consultant", "Accountants|Accounting|Tax & Accounts", "Accounting")
_FOOD = _trade("kitchen", "restaurant|pizza_restaurant", "Kitchen|Restaurant|Bistro|Table", "Restaurants")
_COFFEE = _trade("coffee", "cafe|coffee_shop", "Coffee|Café|Coffee Roasters", "Restaurants")
_HAIR = _trade("hair", "hair_salon|barber_shop", "Hair|Hair Studio|Salon", "Personal Services")
_GARAGE = _trade("motors", "car_repair|car_wash", "Motors|Garage|Auto Repair", "Automotive")
_BUILD = _trade("build", "general_contractor", "Builders|Construction|Build", "Construction")
_PLUMB = _trade("plumbing", "plumber", "Plumbing|Plumbing & Heating|Plumbers", "Construction")
_ELECTRIC = _trade("electric", "electrician", "Electric|Electrical|Electricians", "Construction")
_AGENCY = _trade("media", "marketing_agency", "Media|Marketing|Digital", "Marketing & Advertising")
_SOFTWARE = _trade("software", "software_company", "Software|Systems|Labs", "Computer Software")
_FITNESS = _trade("fitness", "gym|fitness_center", "Fitness|Gym|Strength Club", "Health & Fitness")
_YOGA = _trade("yoga", "yoga_studio|wellness_center", "Yoga|Yoga Studio|Yoga Room", "Health & Fitness")
_VET = _trade("vets", "veterinary_care|pet_store", "Vets|Veterinary Clinic|Animal Hospital", "Veterinary")
_HOTEL = _trade("hotel", "hotel|bed_and_breakfast", "Hotel|House|Lodge", "Hospitality")
_BAKERY = _trade("bakery", "bakery|pastry_shop", "Bakery|Bakehouse|Bread", "Food & Beverages")
_FLOWERS = _trade("flowers", "florist|garden_center", "Flowers|Florist|Blooms", "Retail")
_ARCHITECT = _trade("architects", "architect", "Architects|Architecture|Studio", "Architecture & Planning")
_ROOF = _trade("roofing", "roofing_contractor", "Roofing|Roofers", "Construction")
_PHYSIO = _trade("physio", "physiotherapist|chiropractor", "Physio|Physiotherapy", "Health & Wellness")
_PHARMACY = _trade("pharmacy", "pharmacy|drugstore", "Pharmacy|Chemist", "Pharmaceuticals")
_BEAUTY = _trade("beauty", "beauty_salon|nail_salon", "Beauty|Beauty Rooms|Skin & Nails", "Personal Services")
_SPA = _trade("spa", "spa|massage", "Spa|Day Spa", "Health & Wellness")
_OPTICIAN = _trade("eyecare", "optician", "Eyecare|Opticians", "Medical Practices")
_INSURANCE = _trade("insurance", "insurance_agency", "Insurance|Insurance Brokers", "Insurance")
_MOVERS = _trade("removals", "moving_company|storage", "Removals|Moving & Storage", "Transportation")
_PAINTER = _trade("painting", "painter", "Painters|Painting & Decorating", "Construction")
_LOCKSMITH = _trade("locks", "locksmith", "Locksmiths|Locks", "Security")
_PHOTO = _trade("photo", "photographer", "Photography|Studio", "Photography")
_TRAVEL = _trade("travel", "travel_agency|tour_agency", "Travel|Tours", "Leisure & Travel")
_JEWELS = _trade("jewellery", "jewelry_store", "Jewellers|Jewellery", "Luxury Goods & Jewelry")
_FURNITURE = _trade("furniture", "furniture_store|home_goods_store", "Furniture|Interiors", "Furniture")
_BIKES = _trade("cycles", "bicycle_store", "Cycles|Bikes", "Sporting Goods")
_FUNERAL = _trade("funerals", "funeral_home", "Funeral Directors|Funerals", "Personal Services")

TRADES = {
    "dentist": _DENTAL, "dental": _DENTAL, "orthodontist": _DENTAL, "zahnarzt": _DENTAL,
    "lawyer": _LEGAL, "solicitor": _LEGAL, "attorney": _LEGAL, "law": _LEGAL, "notary": _LEGAL,
    "doctor": _MEDICAL, "gp": _MEDICAL, "clinic": _MEDICAL, "medical": _MEDICAL,
    "estate": _PROPERTY, "realtor": _PROPERTY, "letting": _PROPERTY, "property": _PROPERTY,
    "accountant": _ACCOUNTS, "bookkeeper": _ACCOUNTS, "accounting": _ACCOUNTS, "tax": _ACCOUNTS,
    "restaurant": _FOOD, "bistro": _FOOD, "pizzeria": _FOOD, "pizza": _FOOD, "caterer": _FOOD,
    "cafe": _COFFEE, "coffee": _COFFEE, "roaster": _COFFEE,
    "hairdresser": _HAIR, "barber": _HAIR, "salon": _HAIR, "hair": _HAIR,
    "garage": _GARAGE, "mechanic": _GARAGE, "car": _GARAGE,
    "builder": _BUILD, "contractor": _BUILD, "construction": _BUILD,
    "plumber": _PLUMB, "plumbing": _PLUMB,
    "electrician": _ELECTRIC,
    "marketing": _AGENCY, "advertising": _AGENCY, "agency": _AGENCY, "seo": _AGENCY,
    "software": _SOFTWARE, "startup": _SOFTWARE, "it": _SOFTWARE,
    "gym": _FITNESS, "fitness": _FITNESS,
    "yoga": _YOGA,
    "vet": _VET, "veterinarian": _VET, "veterinary": _VET,
    "hotel": _HOTEL, "hostel": _HOTEL,
    "bakery": _BAKERY, "baker": _BAKERY,
    "florist": _FLOWERS, "flower": _FLOWERS,
    "architect": _ARCHITECT,
    "roofer": _ROOF, "roofing": _ROOF,
    "physiotherapist": _PHYSIO, "physio": _PHYSIO,
    "pharmacy": _PHARMACY, "chemist": _PHARMACY,
    "beautician": _BEAUTY, "beauty": _BEAUTY, "nail": _BEAUTY,
    "spa": _SPA, "massage": _SPA,
    "optician": _OPTICIAN, "optometrist": _OPTICIAN,
    "insurance": _INSURANCE,
    "mover": _MOVERS, "removal": _MOVERS,
    "painter": _PAINTER, "decorator": _PAINTER,
    "locksmith": _LOCKSMITH,
    "photographer": _PHOTO, "photography": _PHOTO,
    "travel": _TRAVEL,
    "jeweller": _JEWELS, "jeweler": _JEWELS, "jewellery": _JEWELS,
    "furniture": _FURNITURE,
    "bicycle": _BIKES, "bike": _BIKES, "cycle": _BIKES,
    "undertaker": _FUNERAL, "funeral": _FUNERAL,
}  # fmt: skip
COMMON_TRADES = frozenset(TRADES.values())
"""The trades that the table has; every other word makes a trade of its own."""

_BY_TOKEN = {trade.token: trade for trade in TRADES.values()}
_NOT_A_TRADE = {"best", "cheap", "the", "a", "top", "local", "good", "independent", "private", "small", "and", "for"}


def trade_named(text: str) -> Trade:
    """The trade that a search text means; an unknown one is made up from its words."""
    words = [singular(word) for word in words_of(text) if word not in _NOT_A_TRADE]
    for word in words:
        if word in TRADES:
            return TRADES[word]
    return _invented(words or ["business"])


def trade_of_token(token: str) -> Trade:
    """The trade that a word of a domain stands for."""
    return _BY_TOKEN.get(token) or _invented([token])


def _invented(words: list[str]) -> Trade:
    # Joined to one word, for only then can a domain be taken apart again; cut, for its label has 63 characters at most.
    token = "".join(words)[:22]
    title = token.capitalize()
    return Trade(token, "point_of_interest", "", (title, f"{title} Company", f"{title} Partners"), title)
