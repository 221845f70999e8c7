"""Lists of networks, as the administrator writes them: ``127.0.0.0/8, ::1/128``."""

import ipaddress
from collections.abc import Iterable

from django.core.exceptions import ValidationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_networks(text: str) -> None:
    """ValidationError unless ``text`` is a list of networks such as ``127.0.0.0/8, ::1/128``."""
    for word in _words(text):
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValidationError(f"{word} is not a network such as 192.0.2.0/24") from error


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a list that was checked."""
    return tuple(ipaddress.ip_network(word) for word in _words(text))


def within(address: str, found: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks; an IPv4 address of an IPv6 socket is its IPv4 address."""
    peer = ipaddress.ip_address(address)
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    return any(peer in network for network in found)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
