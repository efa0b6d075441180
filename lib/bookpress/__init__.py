"""The press: executes the chapters, fills in their numbers and renders the book; it knows no physics."""
