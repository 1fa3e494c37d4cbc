"""What an Engage can do, told without opening one."""

from connector.destinations.port import Capabilities, Proof

CAN = Capabilities(
    Proof.ROW,
    looks_up=True,
    shows=True,
    lists_equals=True,
    takes_back=True,
    lists_person=True,
    keeps_schemas=True,
)
