"""Physics of one engine: bytes, FLOP, seconds. Pure functions of records and arrays; reads no files, knows no money."""
