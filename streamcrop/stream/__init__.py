"""One stream: from its source's frames and its detector's messages to events, all counted."""
