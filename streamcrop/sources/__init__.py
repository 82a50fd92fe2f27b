"""Where frames come from: thin adapters, one a kind."""
