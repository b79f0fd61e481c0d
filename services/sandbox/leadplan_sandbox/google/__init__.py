"""Stand-in for the Google Places API (New): Text Search.

Sources: https://developers.google.com/maps/documentation/places/web-service/text-search and the API's discovery
document.
"""
