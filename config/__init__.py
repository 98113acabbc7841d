"""config: puts the four apps together.

Owns the settings (environment only), the URLs, the admin's navigation and home page, the list of
what runs when, the embedded PostgreSQL and the commands that start everything.
Imports every app; no app imports it.
"""
