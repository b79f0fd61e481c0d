"""The tool GOOGLE_PLACES_SEARCH: finds businesses with Google's Text Search (New)."""
