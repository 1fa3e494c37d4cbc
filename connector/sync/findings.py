"""Rows of a model that cannot be recorded, and what a person should know of them."""

from collections.abc import Sequence

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.mapping import LONGEST_KEY
from connector.rules.words import SUCH, naming, rows

REPEATED_KEYS = {
    False: "the first row of a key counts, the others are not sent",
    True: "of each key one row counts: the one that is recorded, while the model has it, else"
    " always the same one",
}
"""What becomes of rows with one key, by whether it is a mirror's model, which has no order."""


@dataclass(slots=True)
class Findings:
    """Rows that cannot be recorded: nothing identifies them, or another row has their key; and
    `pruned` ones of a mirror, of which it is not known what is there."""

    repeated: int = 0
    example: str = ""
    without_key: int = 0
    pruned: int = 0

    def add(self, repeated: Sequence[str], without_key: int) -> None:
        """Take in what a batch has of them."""
        if repeated and not self.repeated:
            self.example = repeated[0]
        self.repeated += len(repeated)
        self.without_key += without_key

    def sentences(self, activation: Activation) -> list[str]:
        """What a person should know and do."""
        key = ", ".join(activation.row_key)
        found = list[str]()
        if self.repeated:
            found.append(
                naming(
                    f"{rows(self.repeated)} repeated a row key ({key}){SUCH};"
                    f" {REPEATED_KEYS[activation.mirrors]}",
                    f", such as {self.example}",
                )
            )
        if self.without_key:
            found.append(
                f"{rows(self.without_key)} without a usable row key ({key} NULL, longer than"
                f" {LONGEST_KEY} characters, not text, a time that no calendar has, or a FLOAT of"
                " more than the six digits that MySQL shows); they cannot be recorded and are not"
                " sent"
            )
        if self.pruned:
            found.append(
                f"{rows(self.pruned)} delivered before this was a mirror, and pruned"
                " (ledger.keep): what was sent of them stays as it is"
            )
        return found
