"""The lead database: lists, leads, who must not be contacted, and who was put into which e-mail sequence.

Shared by the tools that read or write it and by ``leadplan leads``. It knows no tool.
"""
