"""What there is in the sandbox's world, for people who look for something to try."""

from typing import Any

from leadplan_sandbox.world.cities import KNOWN_CITIES
from leadplan_sandbox.world.trades import TRADES


def world_summary() -> dict[str, Any]:
    """The cities and trades that it knows. Every other name works as well, with made-up facts."""
    cities = [
        {
            "name": city.name,
            "country": city.country.code,
            "location": {"latitude": city.latitude, "longitude": city.longitude},
        }
        for city in KNOWN_CITIES.values()
    ]
    trades = [
        {"word": word, "placeType": trade.place_type, "industry": trade.industry} for word, trade in TRADES.items()
    ]
    return {"cities": cities, "trades": trades, "exampleQuery": f"{trades[0]['word']}s in {cities[1]['name']}"}
