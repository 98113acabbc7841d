// Nothing in this admin is sorted by dragging, for which the theme loads 14 kB on every page.
