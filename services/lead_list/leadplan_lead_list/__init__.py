"""The responder of ``LEAD_LIST_SAVE``: keeps leads in lists, each lead once a list."""
