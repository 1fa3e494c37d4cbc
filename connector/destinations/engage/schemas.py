"""Interaction schemas as an Engage keeps them: looked at, created, deleted."""

from urllib.parse import quote

from connector.destinations.answers import Response
from connector.destinations.api import Api
from connector.destinations.bodies import json_body
from connector.destinations.engage.errors import ABOUT_THE_REQUEST, ABOUT_THIS_INTERACTION
from connector.destinations.engage.pages import by_name
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.http import LONGEST_WORDS, json_of, parsed, printable
from connector.destinations.port import Applied, SchemaOutcome
from connector.rules.definition import Definition
from connector.rules.delivery import NotApplied, Refused, Unknown
from connector.rules.errors import DestinationUnusable
from connector.rules.schema import InteractionSchema

MOST_SCHEMAS = 1000
"""An environment may have fifteen."""


class Schemas(Api):
    """The schemas of one Engage."""

    async def schema(self, schema_id: str) -> InteractionSchema | None:
        """The live schema; None when the key is good but there is no such schema.

        Raises DestinationUnusable when the key is refused or no useful answer comes.
        """
        definition = await self.definition(schema_id)
        if definition is None:
            return None
        try:
            schema = definition.schema
            _ = schema.properties, schema.required  # what rows will be held against
        except Exception as error:  # whatever somebody has made of it
            said = printable(str(error).partition("\n")[0])[:LONGEST_WORDS]
            reason = said or type(error).__name__
            raise DestinationUnusable(
                f"the schema {schema_id} at the destination is broken: {reason}"
            ) from None
        return schema

    async def definition(self, schema_id: str) -> Definition | None:
        """What the live schema consists of, usable or not; None when there is no such schema.

        Raises DestinationUnusable when the key is refused or no useful answer comes.
        """
        response = self.useful(await self.get(f"/interactionschemas/{quote(schema_id, safe='')}"))
        if response.status_code in (400, 404, 410, 422):
            return None
        content = json_of(response)
        content = by_name(content) if isinstance(content, dict) else {}
        rules = content.get("jsonSchema")
        if isinstance(rules, str):
            rules = parsed(rules)
        if response.status_code != 200 or not isinstance(rules, dict):
            raise DestinationUnusable(
                f"the destination gives no usable schema {schema_id}: {self.words(response)}"
            )
        name, key = content.get("displayName"), content.get("id")
        return Definition(
            key if isinstance(key, str) and key else schema_id,
            name if isinstance(name, str) else "",
            rules,
        )

    async def schema_ids(self) -> list[str]:
        """The ids of all live schemas. Raises DestinationUnusable."""
        response = self.useful(await self.get("/interactionschemas"))
        content = json_of(response)
        if response.status_code != 200 or not isinstance(content, list):
            raise DestinationUnusable(
                f"the destination does not list its schemas ({self.words(response)}); is this"
                " the url of an Engage, and is the Interactions add-on enabled there?"
            )
        ids = [by_name(entry).get("id") for entry in content if isinstance(entry, dict)]
        return [name for name in ids if isinstance(name, str)]

    async def definitions(self) -> list[Definition]:
        """What every live schema consists of. Raises DestinationUnusable."""
        ids = list(dict.fromkeys(await self.schema_ids()))
        if len(ids) > MOST_SCHEMAS:
            raise DestinationUnusable(
                f"the destination lists {len(ids)} schemas; is this the url of an Engage?"
            )
        found = [await self.definition(schema_id) for schema_id in ids]
        return [definition for definition in found if definition is not None]

    async def create_schema(self, definition: Definition) -> SchemaOutcome:
        """POST a schema, exactly once. Raises DestinationUnusable when the key is refused."""
        body = json_body(definition.content)
        return self._schema_outcome(await self.once("POST", "/interactionschemas", body))

    async def delete_schema(
        self, schema_id: str, last_look: LastLook = nothing_to_see
    ) -> SchemaOutcome:
        """DELETE a schema, and with it all interactions of all contacts that are based on it;
        exactly once, and not when the `last_look` gives a reason: a process that was frozen must
        not delete what has been created anew. Raises DestinationUnusable when the key is
        refused."""
        path = f"/interactionschemas/{quote(schema_id, safe='')}"
        return self._schema_outcome(await self.once("DELETE", path, None, last_look))

    def _schema_outcome(self, answer: Response | NotApplied | Unknown) -> SchemaOutcome:
        if not isinstance(answer, Response):
            return answer
        status, words = answer.status_code, self.words(answer)
        if answer.is_success:
            return Applied(status)
        if not_applied := self.not_applied(answer):
            return not_applied
        self.refuse_all(answer)
        if status in (*ABOUT_THIS_INTERACTION, *ABOUT_THE_REQUEST):
            return Refused(words, status)
        return Unknown(words, status)
