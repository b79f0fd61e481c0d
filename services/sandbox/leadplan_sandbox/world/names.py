"""Words that the world is made of."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# One lower-case word each, so that a company's domain can be taken apart again.
BRANDS = _words("""
abbey acorn albion alder amber anchor arden ashford aspen atlas avalon beacon birchwood blackwell bluebell
bramley bridgewater brightside brook calder canal castle cedar chapel cobalt copper crescent dale dawson delta
elmwood ember evergreen fairfax falcon fern fieldhouse finch foundry gatehouse granite greenway grove hallam
harbour hargreaves harrison hartley hawthorn hazel heron highfield hollis horizon ivory juniper kestrel keystone
kingsway lakeside lantern larkspur laurel lighthouse linden lockwood lyndale maple marlow meadow meridian mill
montgomery north northgate oak oakfield oldmill olive orchard osborne park parkside pearl pebble pemberton
pinnacle prospect quarry quayside redwood regent ridgeway riverside rosewood rowan saffron sage sandford silver
slate somerset southbank sparrow spring station sterling stone summit swan sycamore tanner thornton tower
trafford union valley victoria wakefield walnut waterside wellington westgate wharf whitfield willow windmill
woodland wren yew
""")

FIRST_NAMES = _words("""
Adam Aisha Alex Alice Amara Amelia Andrew Anna Anton Beatrice Ben Carla Carlos Charlotte Chloe Claire Daniel
David Diana Edward Elena Ella Emma Erik Ethan Eva Farah Felix Fiona Freya George Grace Hannah Harriet Helen
Henry Hugo Ian Imogen Isaac Isabel Jack James Jasmine Joanna Joel Jonas Julia Karen Katie Laura Leo Liam Lily
Lucas Lucy Marcus Maria Martin Maya Megan Mina Mohammed Nadia Nathan Nina Noah Olivia Omar Oscar Patrick Paula
Peter Priya Rachel Rafael Rebecca Robert Rosa Ryan Sadia Samuel Sara Sean Simon Sofia Stella Tariq Theo Thomas
Tom Victor Vera Wendy William Yusuf Zara Zoe Björn Chloé Jürgen Łukasz Renée Søren
""")

LAST_NAMES = _words("""
Ahmed Allen Archer Bailey Baker Banerjee Barnes Bennett Berg Blake Bradley Brooks Brown Burton Carter Chapman
Chen Clarke Cohen Collins Cooper Costa Cross Davies Diaz Dixon Dubois Edwards Ellis Evans Farrell Fischer Foster
Fox Garcia Gibson Gordon Graham Grant Green Griffiths Haas Hall Harper Harris Hayes Hill Hoffmann Holmes Hughes
Hunt Hussain Jackson Jensen Johnson Jones Kaur Keller Kelly Khan Kim King Knight Kowalski Lambert Larsen Lawson
Lewis Lopez Marsh Martin Mason Meyer Mitchell Moore Moreno Morgan Morris Murphy Nguyen Novak Owen Palmer Parker
Patel Pearson Perry Phillips Pope Price Quinn Reed Reid Rhodes Richards Rossi Russell Saunders Schmidt Scott
Shah Sharma Silva Simpson Singh Stone Taylor Thompson Tucker Turner Walker Walsh Ward Watson Weber West White
Wilson Wood Wright Young Lefèvre Müller Núñez O'Brien O'Neill Sørensen
""")

STREETS = (
    "Bridge Street",
    "Canal Road",
    "Castle Street",
    "Chapel Lane",
    "Church Street",
    "Clarence Road",
    "George Street",
    "Grove Road",
    "High Street",
    "King Street",
    "Market Place",
    "Mill Lane",
    "New Road",
    "North Street",
    "Park Avenue",
    "Park Row",
    "Queen Street",
    "School Lane",
    "Station Road",
    "The Headrow",
    "Victoria Road",
    "Wellington Street",
    "West Street",
    "York Road",
)

SHARED_HOSTS = ("facebook.com", "instagram.com", "business.site", "wixsite.com", "linktr.ee")
"""Where small businesses have pages though the domain isn't theirs."""

WEBMAIL_HOSTS = (
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "yahoo.com",
    "icloud.com",
    "gmx.de",
    "aol.com",
)
"""Free mail providers."""

DISPOSABLE_HOSTS = ("mailinator.com", "guerrillamail.com", "10minutemail.com", "trashmail.com")
"""Throw-away mail providers."""

# Position, seniority and department as Hunter names them.
POSITIONS: tuple[tuple[str, str, str], ...] = (
    ("Owner", "executive", "executive"),
    ("Managing Director", "executive", "executive"),
    ("Practice Manager", "senior", "management"),
    ("Operations Manager", "senior", "operations"),
    ("Head of Marketing", "senior", "marketing"),
    ("Marketing Assistant", "junior", "marketing"),
    ("Office Manager", "senior", "management"),
    ("Sales Manager", "senior", "sales"),
    ("Sales Executive", "junior", "sales"),
    ("Finance Director", "executive", "finance"),
    ("Bookkeeper", "junior", "finance"),
    ("HR Manager", "senior", "hr"),
    ("Customer Support", "junior", "support"),
    ("IT Manager", "senior", "it"),
    ("Designer", "junior", "design"),
)

GENERIC_MAILBOXES = ("info", "hello", "contact", "office", "reception", "bookings", "enquiries")
