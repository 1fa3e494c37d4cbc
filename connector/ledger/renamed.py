"""Under which name the ledger has an activation that is called otherwise now."""

from sqlalchemy import Connection

from connector.ledger.ownership import home_row
from connector.ledger.transaction import Reader, transaction


class Renamed(Reader):
    """A reading side that knows earlier names: an activation is found under the one that it had,
    until a run has taken its rows over."""

    def _name(self, activation: str) -> str:
        if activation not in self._earlier:
            return activation
        with transaction(self._engine) as c:
            return self._recorded(c, activation)

    def _recorded(self, c: Connection, activation: str) -> str:
        earlier = self._earlier.get(activation)
        if earlier is None or home_row(c, activation) is not None:
            return activation
        return earlier

    def _called(self, c: Connection, recorded: str) -> str:
        now = [name for name, earlier in self._earlier.items() if earlier == recorded]
        return next((name for name in now if self._recorded(c, name) == recorded), recorded)
