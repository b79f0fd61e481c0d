"""Stand-in for the Hunter API v2.

Source: https://hunter.io/api-documentation/v2. Where Hunter's own sources disagree, a setting or a comment says so.
"""
