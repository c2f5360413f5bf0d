"""``vi-fusion study``: a page on which people choose between pictures, and the report of their answers."""
