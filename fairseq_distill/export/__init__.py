"""A trained student in the files of other tools; nothing is imported here."""
