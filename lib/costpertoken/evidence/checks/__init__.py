"""The checks of the claims: one module a chapter, named as the chapter is."""
