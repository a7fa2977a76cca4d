"""Public addresses: what a tenant names is only reached on the public internet, never inside our own network.

The name is resolved once, every address that it has is checked, and the connection goes to a checked address: a name that
points elsewhere a moment later (DNS rebinding) gains nothing.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# Addresses of the internet; all others are of networks of somebody's own, or carry an IPv4 address inside.
_INTERNET: Final = IPv6Network("2000::/3")
# It answers from inside Azure's machines alone, and tells them about themselves.
_AZURE: Final = IPv4Address("168.63.129.16")
# Of protocols, of relays to IPv6, and of documents: not every Python that runs this knows them all to be nobody's.
_NOBODYS: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))


class NotPublicError(Exception):
    """A host has no address, or one that is not public. Which of the two is not told: it would map our network."""


async def public_address(host: str, port: int, *, local_allowed: bool = False) -> str:
    """An address of a host to connect to. Raises NotPublicError. `local_allowed`: any address will do."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ip_address(place[0]) for *_, place in found]
    except (OSError, ValueError) as error:  # a ValueError: a scoped address, or a name that cannot be encoded
        raise NotPublicError(host) from error
    if not addresses or not (local_allowed or all(map(is_public, addresses))):
        raise NotPublicError(host)
    return str(addresses[0])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet, however it is written."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _INTERNET or address.sixtofour is not None or address.teredo is not None:
            return False
    if any(address in network for network in _NOBODYS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and address != _AZURE
