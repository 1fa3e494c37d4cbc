"""One place has one name, however its URL is written, and two places never have the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.place import Place, address_of

LABELS = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
PATHS = st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), max_size=3)
PORTS = st.integers(1024, 65535)


@given(HOSTS, st.none() | PORTS, PATHS, st.data())
def test_capitals_standard_ports_and_slashes_at_the_end_make_no_difference(host, port, path, data):
    plain = f"https://{host}{f':{port}' if port else ''}{''.join(f'/{part}' for part in path)}"
    scheme = data.draw(st.sampled_from(["https", "HTTPS", "Https"]))
    shown = "".join(c.upper() if data.draw(st.booleans()) else c for c in host)
    dot, slashes = (
        data.draw(st.sampled_from(["", "."])),
        data.draw(st.sampled_from(["", "/", "//"])),
    )
    written = f":{port}" if port else data.draw(st.sampled_from(["", ":443", ":"]))
    way = f"{scheme}://{shown}{dot}{written}{''.join(f'/{part}' for part in path)}{slashes}"

    assert address_of(way) == plain
    assert address_of(plain) == plain


@given(HOSTS, HOSTS, st.none() | PORTS, st.none() | PORTS, PATHS, PATHS)
def test_another_host_port_or_path_is_another_place(one, two, port, other_port, path, other_path):
    def written(host, port, path):
        return f"https://{host}{f':{port}' if port else ''}/{'/'.join(path)}"

    same = (one, port, path) == (two, other_port, other_path)

    first, second = written(one, port, path), written(two, other_port, other_path)
    assert (address_of(first) == address_of(second)) is same


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("http://127.0.0.1:8750", "http://localhost:8750"),
        ("http://LOCALHOST:8750/", "http://localhost:8750"),
        ("http://[::1]:8750", "http://localhost:8750"),
        ("http://127.0.0.2:8750", "http://127.0.0.2:8750"),
        ("https://[2001:DB8:0:0::1]/engage", "https://[2001:db8::1]/engage"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example:443/", "https://xn--bcher-kva.example"),
        ("https://acme.voyado.com/Api", "https://acme.voyado.com/Api"),
    ],
)
def test_a_host_is_written_in_one_way(written, address):
    assert address_of(written) == address


def test_a_place_covers_what_went_to_its_earlier_address_and_nothing_of_another_type():
    here = Place("engage", "https://new.example", "https://old.example")

    assert here.covers(Place("engage", "https://old.example"))
    assert here.covers(Place("engage", "https://new.example"))
    assert not here.covers(Place("engage", "https://other.example"))
    assert not here.covers(Place("mxo", "https://new.example"))
