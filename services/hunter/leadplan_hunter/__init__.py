"""The tools HUNTER_DOMAIN_LOOKUP and HUNTER_ENRICH, on one client for Hunter.io's API v2."""
