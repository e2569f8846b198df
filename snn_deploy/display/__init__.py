"""How results look to people: the terminal, tables that fit it, notebooks and pictures."""
