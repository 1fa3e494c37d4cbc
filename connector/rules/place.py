"""Where a destination is, written so that one place has one name.

Rows are known by where they went: the same name of a destination may stand for another one
tomorrow, and in another project on the same ledger.
"""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from connector.basis import dataclass

DEFAULT_PORTS = {"http": 80, "https": 443}
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Place:
    """What is there (`type`), and its address; `earlier`: the one that it had before it moved."""

    type: str
    address: str
    earlier: str | None = None
    nameless: str | None = None
    """Its address as it is recorded where it was not known which account it is."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Under which addresses rows of it may be recorded."""
        known = (self.address, self.earlier, self.nameless)
        return tuple(each for each in known if each is not None)

    def covers(self, recorded: "Place") -> bool:
        """Whether rows that went to `recorded` went here."""
        return self.type == recorded.type and recorded.address in self.addresses


def address_of(url: str) -> str:
    """The address in `url`: how capitals, a standard port, a slash at the end or the names of this
    machine are written makes no difference."""
    parts = urlsplit(url)
    host, scheme = _host(parts.hostname or ""), parts.scheme.lower()
    port = parts.port or DEFAULT_PORTS.get(scheme)
    shown = "" if port == DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{host}{shown}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine, and cannot be another one."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def authority(host: str, port: int | None) -> str:
    """Both, as they stand in a URL."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _host(name: str) -> str:
    name = name.rstrip(".").lower()
    try:
        address = ip_address(name)
    except ValueError:
        return "localhost" if name in THIS_MACHINE else _ascii(name)
    if str(address) in THIS_MACHINE:
        return "localhost"
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def _ascii(name: str) -> str:
    """As the name goes over the network, where it is a name at all."""
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name
