"""The explorer: any question about usage, asked and answered on one page of the admin.

`reading` makes an `exploration` of an address, which writes it again; `grid` asks the report
service and lays the answer out; `table` and `cells`, `chart` and `notes` show that grid; `drill`
leads from a figure to what is behind it, `values` finds what to filter by, `saved` keeps questions
by name, `page` is the views. Files are made of a grid by `exports`, which stands above: pages here
only link to them by name.
"""
