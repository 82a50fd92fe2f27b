"""All rows of the table."""

from faults import brokers, cameras, disks, exceptions, messages, processes

ROWS = [
    *cameras.ROWS,
    *brokers.ROWS,
    *disks.ROWS,
    *messages.ROWS,
    *processes.ROWS,
    *exceptions.ROWS,
]
