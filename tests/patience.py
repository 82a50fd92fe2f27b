"""How long a test waits for what has to come: until it hangs for sure, on the busiest machine.

A test that says that something takes no long time sets the time that it would take otherwise to
many times as much, and waits with patience: then neither verdict depends on how busy it is here.
"""

# Seconds.
PATIENCE = 90.0
# Far more than anyone waits: for a setting of what must not be waited for.
FOR_EVER = 3600.0
