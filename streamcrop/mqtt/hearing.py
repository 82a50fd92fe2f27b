"""The calls by which a connection tells its holder what arrives."""

from abc import ABC, abstractmethod

from paho.mqtt.client import MQTTMessage

from streamcrop.mqtt.connack import Offer
from streamcrop.mqtt.flights import Flight


class Hearing(ABC):
    """The holder of a connection, who is told of all that arrives."""

    @abstractmethod
    def accepted(self, offer: Offer, *, resumed: bool) -> None:
        """Take note that the broker lets us in; ``resumed``: it kept our session."""

    @abstractmethod
    def arrived(self, message: MQTTMessage) -> None:
        """Take a message."""

    @abstractmethod
    def unreadable(self, why: str) -> None:
        """Take note of a message that cannot be read."""

    @abstractmethod
    def acknowledged(self, number: int, code: int, why: str) -> None:
        """Take an acknowledgement; its code, and that in words where the message is refused."""

    @abstractmethod
    def settled(self) -> None:
        """Do what is to be done when all is taken that came."""

    @abstractmethod
    def written(self, flight: Flight) -> None:
        """Take note that what was written for it is with the system."""
