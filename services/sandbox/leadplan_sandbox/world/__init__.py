"""The sandbox's invented world: companies, places and people.

Nothing is stored. Everything follows from names: a place from a trade and a city, a company from its domain, a person
from an address. So every process, today and tomorrow, sees the same world, and a domain that one API returned is known
to the other one.
"""
