"""The desk: a page on which the people of a post work, served on loopback."""
