"""What stands in the way of replacing a schema."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import orjson

from connector.ledger.replacing import Lack, Replacement, Replacements, Standing
from connector.rules.activation import Activation
from connector.rules.delivery import MAY_BE_THERE
from connector.rules.errors import ConfigurationError
from connector.rules.schema import InteractionSchema
from connector.rules.words import rows
from connector.sync.preflight import refuse_misfits

MOST_REASONS = 10


def refuse_unsettled(
    standings: Mapping[str, Standing],
    configured: Collection[str],
    activations: Mapping[str, Activation],
) -> None:
    """Raises ConfigurationError with all that has to be settled before a schema is replaced that
    the activations of `standings` have sent to. `configured`: those of them that are configured;
    `activations`: all that are."""
    problems, renamed = [], {a.renamed_from: name for name, a in activations.items()}
    for name, standing in standings.items():
        doubts = sum(standing.counts.get(s, 0) for s in MAY_BE_THERE)
        if name not in configured and standing.counts and (now := renamed.get(name)):
            problems.append(
                f'"{name}" is called "{now}" now, and a run of that takes its rows over:'
                f" `connector sync {now}` first"
            )
        elif name not in configured and standing.counts:
            problems.append(
                f'"{name}" has sent to this schema and is no longer configured, so its rows could'
                " not be sent again. Put it back (paused: true is enough) for the replacement"
            )
        if doubts:
            problems.append(
                f'"{name}" has {rows(doubts)} in doubt, which could not be read back any more:'
                f" let `connector sync {name} --wait` settle them, or `connector quarantine settle`"
            )
        if standing.held:
            problems.append(
                f'a run of "{name}" is held: `connector status {name}` says by what; let it go with'
                f" `connector approve {name}` and `connector sync {name}`, or discard its rows"
            )
        if standing.suspect and name in configured:
            problems.append(
                f'the ledger was put back from a backup, and "{name}" has rows that are not read'
                f" back yet: let `connector sync {name} --full --wait` do that"
            )
    if problems:
        raise ConfigurationError(*problems)


def refuse_unsent_misfits(
    book: Replacements, activations: Iterable[Activation], schema: InteractionSchema
) -> None:
    """Raises ConfigurationError for rows that are not sent yet, and were held against the schema as
    it was."""
    for activation in activations:
        refuse_misfits(activation, schema)
        if broken := _broken(book.unsent(activation.name), schema):
            raise ConfigurationError(
                f'"{activation.name}" has {rows(len(broken))} pending or waiting that the new'
                f" schema does not take, such as {broken[0]}: let them be sent, or discard them"
            )


def refuse_recorded_misfits(
    book: Replacements, replacement: Replacement, schema: InteractionSchema
) -> None:
    """Raises ConfigurationError for rows that are to be sent again, and were held against the
    schema as it was planned."""
    if broken := _broken(book.recorded(replacement), schema):
        raise ConfigurationError(
            f'{rows(len(broken))} of "{schema.id}", such as {broken[0]}, are recorded to be'
            " sent again and do not fit the schema as it is now; put it back as it was planned"
        )


def _broken(bodies: Iterable[tuple[str, str]], schema: InteractionSchema) -> list[str]:
    return [key for key, payload in bodies if not schema.accepts(orjson.loads(payload))]


def refuse_losses(lacks: Sequence[Lack], replacement: Replacement, accepted: int) -> None:
    """Raises ConfigurationError when more rows than are `accepted` could not be sent again."""
    total = sum(lack.rows for lack in lacks)
    if total <= accepted:
        return
    lines = [
        f"  {rows(lack.rows)}: {lack.reason}{_such(lack.examples)}" for lack in lacks[:MOST_REASONS]
    ]
    raise ConfigurationError(
        f"nothing was deleted: {total} of {rows(replacement.interactions)} could not be sent again,"
        " and their interactions would be lost:\n"
        + "\n".join(lines)
        + f"\nCorrect them in the model, or accept the loss with --give-up {total}"
    )


def _such(examples: Sequence[str]) -> str:
    return f" (such as {', '.join(examples)})" if examples else ""
