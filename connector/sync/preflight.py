"""Before any row is read: would the destination take what an activation maps?"""

from connector.destinations.port import AnyDestination
from connector.rules.activation import Activation
from connector.rules.errors import ConfigurationError, of_activation
from connector.rules.schema import InteractionSchema


async def preflight(activation: Activation, destination: AnyDestination) -> InteractionSchema:
    """The live schema, before any row is read. Raises DestinationUnusable when the key is refused
    or nothing answers, ConfigurationError when there is no such schema or the mapping breaks it."""
    schema = await destination.preflight(activation)
    refuse_misfits(activation, schema)
    return schema


def refuse_misfits(activation: Activation, schema: InteractionSchema) -> None:
    """Raises ConfigurationError when the mapping breaks the schema, whatever the rows are."""
    problems = [
        of_activation(activation.name, *p.path, text=p.message)
        for p in schema.mapping_problems(activation.payload)
    ]
    problems += [
        of_activation(activation.name, *activation.path_to(name), text=why)
        for name, field in activation.sent.items()
        if field.value is not None and (why := schema.constant_problem(name, field.value))
    ]
    if problems:
        raise ConfigurationError(*problems)
