"""The pages in docs/tools: their generated tables, and the start of a new page."""
