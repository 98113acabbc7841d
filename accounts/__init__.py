"""accounts: who spends.

Owns users, accounts, workspaces, clients, members, projects, API keys, roles and access tokens.
`access.py` is the only way from a caller (a person or an access token) to rows;
`directory.py` turns the names that gateways send into ids, creating what is new.
Imports no other app.
"""
