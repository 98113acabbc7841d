"""How the admin's lists and forms write dates: sortable, and with their zone."""
