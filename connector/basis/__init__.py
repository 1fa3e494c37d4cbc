"""What every room stands on: dataclasses and a log that are made when they are used."""

from connector.basis.dataclass import dataclass as dataclass
from connector.basis.described import described_below as described_below
