"""``leadplan doctor``: is everything there that plans need, and what is to be done where it isn't?

``questions`` asks, ``checks`` judges what was learned, ``own_settings`` looks at this machine's environment.
"""
