"""The configuration file: a closed grammar in which every mistake has its place."""

from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from connector.destinations.engage.grammar import EngageSettings
from connector.project.settings import Settings, json_schema, load
from connector.rules.errors import ConfigurationError

GOOD = """\
version: 1
warehouse: {url: "duckdb:///w.duckdb"}
destinations:
  engage: {type: engage, url: "https://acme.voyado.com", api_key: "${KEY}"}
activations:
  reviews:
    model: reviews.sql
    schema_id: review
    row_key: id
    start: all
    contact: {column: email, identifier: email}
    payload: {rating: rating}
"""


def read(folder: Path, text: str, **environment: str) -> Settings:
    file = folder / "activations.yaml"
    file.write_text(text)
    return load(file, {"KEY": "k"} | environment)


def mistakes(folder: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text, **environment)
    return [problem.text.replace(f"{folder}/", "") for problem in caught.value.problems]


def test_a_good_file_is_read(tmp_path: Path) -> None:
    settings = read(tmp_path, GOOD)

    (activation,) = settings.project.activations.values()
    assert activation.name == "reviews"
    assert settings.project.destination_of(activation) == "engage"
    engage = settings.project.destinations["engage"]
    assert isinstance(engage, EngageSettings)
    assert engage.api_key.get_secret_value() == "k"
    assert settings.project.ledger.lease == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("row_key: id", "rowkey: id", 'activations.yaml:9:5: unknown key "rowkey"; did you mean'),
        ("start: all", "start: al", "activations.yaml:10:5: start: expected all, now, or a time"),
        ("start: all", "start: 2026-01-01", "activations.yaml:10:5: start: a time without a zone"),
        ("    start: all\n", "", 'activations.yaml:6:3: the key "start" is missing'),
        ("column: email, ", "", 'the key "column" is missing in contact'),
        ("identifier: email", "identifier: mail", "identifier: expected 'contactId', 'email'"),
        ("identifier: email", "identifier: emial", "or 'any'; did you mean \"email\"?"),
        ("start: all", "start: all\n    mode: miror", "'mirror'; did you mean \"mirror\"?"),
        ("version: 1", "version: 2", "activations.yaml:1:1: version: expected 1"),
        ("https://acme", "http://acme", "plain http would show the API key"),
        ("https://acme.voyado.com", "acme.voyado.com", "expected a url such as https://"),
        ("start: all", "start: all\n    destination: engag", 'did you mean "engage"?'),
        ("start: all", 'start: all\n    schedule: "61 * * * *"', "schedule:"),
        ("start: all", "start: all\n    schedule: 15m", "*/15 * * * *, or {every: 15m}"),
        ("row_key: id", "row_key: []", "row_key: expected one entry at least"),
        ("row_key: id", "row_key: ['']", "expected a text that is not empty"),
        ("start: all", "start: all\n    schedule: {every: 3x}", "expected a duration"),
        ("start: all", "start: all\n    start: now", 'the key "start" stands twice'),
        ("start: all", "start: all\n    limits: {rows: few}", "rows: expected a valid integer"),
        ("start: all", "start: all\n    priority: high", "priority: expected a valid integer"),
        ("start: all", "start: all\n    priority: 1001", "priority: expected less than or equal"),
        ("start: all", "start: all\n    share: 0%", "share: expected a share above 0%"),
        ("start: all", "start: all\n    share: 120%", "share: expected a share such as 5%"),
        ("model: reviews.sql", "model: {sql: a, table: b}", "expected a path, or exactly one of"),
        ("rating: rating}", "rating: {column: r, value: 1}}", "exactly one of column and value"),
        ("  reviews:", '  "a b":', "may hold only letters"),
        ("activations:", "activations: [", "not valid YAML"),
        ("start: all", "start: all\n    schedule: */15 * * * *", "11:15: not valid YAML"),
        ("start: all", "start: all\n    schedule: */15 * * * *", "put the value in quotes"),
        ("start: all", "start: all\n    schedule: @daily", "; put the value in quotes"),
        ("    start: all", "\tstart: all", "; indent with blanks, not with a tab"),
        ("start: all", "start:all", "; the line before has no key with a colon and a blank"),
        ("    start: all", "   start: all", "; indent it like its neighbours"),
        ("start: all", "start: 'all", "; a closing quote is missing"),
        ("row_key: id", "row_key: [id", "; a comma or a closing bracket is missing"),
        ("version: 1", "version: 1\n---", "; a file holds one document"),
        ("version: 1", "version: 1\nwarehouses: {}", 'did you mean "warehouse"?'),
        (
            "start: all",
            "start: all\n    schedule: {cron: '@daily', timezone: europe/stokholm}",
            'such as Europe/Stockholm or UTC; did you mean "Europe/Stockholm"?',
        ),
        ("row_key: id", "row_key: 1", "activations.yaml:9:5: row_key: expected a name in quotes"),
        ("row_key: id", "row_key: [id, 1]", "activations.yaml:9:19: row_key, entry 2: expected a"),
        ("schema_id: review", "schema_id: 1", "schema_id: expected a text; put it in quotes"),
        ("start: all", "start: all\n    limits: {rows: 1_000}", "11:14: YAML 1.2 reads this as"),
        ("start: all", "start: all\n    limits: {rows: '1_0'}", "rows: expected a number, written"),
        ("start: all", "start: all\n    limits: {rows: 010}", "begins with 0 is read in two ways"),
        ("start: all", "start: all\n    priority: -010", "begins with 0 is read in two ways"),
        ("start: all", "start: all\n    priority: -0b10", "reads this as a text"),
        (
            "start: all",
            "start: all\n    payload: {p: {value: 19.9900000000000000001}}",
            "more digits",
        ),
        (
            "start: all",
            "start: all\n    payload: {p: {value: 1e-999}}",
            "of more digits than are kept",
        ),
        ("start: all", "start: all\n    limits: {rows: true}", "rows: expected a number"),
        ("start: all", "start: all\n    <<: {paused: true}", "merge keys are not known here"),
        ("start: all", "start: all\n    ? [a]\n    : b", "11:7: a key is a list or a mapping"),
        ("start: all", "start: !now all", "10:5: a tag (!…) is not known here"),
        ("https://acme.voyado.com", "https://acme.voyado.com:99999", "expected a url such as"),
        ("https://acme.voyado.com", "https://[::1", "expected a url such as"),
        (
            "version: 1",
            "%YAML 1.3\n---\nversion: 1",
            "activations.yaml:1:1: files are read as YAML",
        ),
        (
            "version: 1",
            "# c\n%YAML 1.1\n---\nversion: 1",
            "activations.yaml:2:1: files are read as",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, before: str, after: str, expected: str
) -> None:
    assert expected in "\n".join(mistakes(tmp_path, GOOD.replace(before, after, 1)))


def test_several_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("version: 1", "versio: 1").replace("row_key", "rowkey")

    found = mistakes(tmp_path, text.replace("KEY", "NOT_SET"))

    places = [int(message.split(":")[1]) for message in found]
    assert places == sorted(places)
    assert len(found) >= 5
    assert any("NOT_SET" in message for message in found)


def test_variables_come_from_the_environment_then_from_dot_env_then_from_the_default(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text("SCHEMA=from-file\nOTHER=from-file\n")
    text = GOOD.replace("schema_id: review", "schema_id: ${SCHEMA:-default}")

    (by_environment,) = read(tmp_path, text, SCHEMA="from-env").project.activations.values()
    (by_file,) = read(tmp_path, text).project.activations.values()
    (tmp_path / ".env").unlink()
    (by_default,) = read(tmp_path, text).project.activations.values()

    assert by_environment.target == "from-env"
    assert by_file.target == "from-file"
    assert by_default.target == "default"


@pytest.mark.parametrize(
    ("before", "after", "path", "written"),
    [
        ("${KEY}", "${E_KEY}", "5:58: api_key: expected an API key", "${E_KEY}"),
        ("${KEY}", "${E_KEY:-}", "5:58: api_key: expected an API key", "${E_KEY:-}"),
        ("schema_id: review", "schema_id: ${E_KEY}", "9:5: schema_id", "${E_KEY}"),
        ("    schema_id: review\n", "", "2:12: schema_id", "${E_KEY}"),
    ],
)
def test_a_variable_that_is_set_and_empty_is_named_where_that_cannot_be(
    tmp_path: Path, before: str, after: str, path: str, written: str
) -> None:
    text = GOOD.replace("version: 1", "version: 1\ndefaults: {schema_id: '${E_KEY}'}")

    (said,) = mistakes(tmp_path, text.replace(before, after), E_KEY="")

    assert said.startswith(f"activations.yaml:{path}")
    assert said.endswith(f"; {written} is empty here")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${KEY-d}", "a ${ is not understood; write ${NAME}, ${NAME:-default}"),
        ("${KEY:?e}", "a ${ is not understood"),
        ("${ KEY }", "a ${ is not understood"),
        ("${KEY", "a ${ is not understood"),
        ("${KEY:-${OTHER}}", "the default of KEY holds a variable"),
        ("$KEY", "a $NAME is not filled in; write ${NAME}"),
        ("key-$KEY", "a $NAME is not filled in; write ${NAME}"),
        ("$(cat key)", "a $NAME is not filled in"),
        ("{{ env_var('KEY') }}", "this is no template; write ${NAME}"),
        ("{% if KEY %}", "this is no template"),
    ],
)
@pytest.mark.parametrize("quote", ['"', ""])
def test_what_other_tools_fill_in_is_never_taken_for_a_key(
    tmp_path: Path, written: str, expected: str, quote: str
) -> None:
    if not quote and written.startswith("{%"):
        return  # no YAML
    text = GOOD.replace("{type: engage, url", "\n    type: engage\n    url").replace(
        ', api_key: "${KEY}"}', f"\n    api_key: {quote}{written}{quote}"
    )

    found = "\n".join(mistakes(tmp_path, text))

    assert "activations.yaml:7:5: " in found
    assert expected in found or (not quote and "this is no template" in found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("rating: rating}", "price: {value: $9}, note: {value: $NAME}}"),
        ("reviews.sql", "{sql: \"select '{{x}}' as a from t where b ~ '^$' or c = $$x$$\"}"),
        ("start: all", "start: all\n    description: costs $NAME and ${KEY}"),
    ],
)
def test_a_dollar_sign_in_a_free_text_is_one(tmp_path: Path, before: str, after: str) -> None:
    assert read(tmp_path, GOOD.replace(before, after))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("KEY=å\n".encode("utf-16"), ".env:1:1: not a text in UTF-8"),
        ("A=1\nKEY=å\n".encode("latin-1"), ".env:2:1: not a text in UTF-8"),
        (b"A=1\nKEY: k\n", ".env:2: expected a line such as NAME=value"),
        (b'A=1\n\nKEY="k\n', ".env:3: expected a line such as NAME=value"),
    ],
)
def test_a_dot_env_that_cannot_be_read_is_told_with_its_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / ".env").write_bytes(content)

    assert expected in "\n".join(mistakes(tmp_path, GOOD))


def test_a_variable_in_a_dot_env_is_refused_unless_it_is_meant_as_it_stands(tmp_path: Path) -> None:
    text = GOOD.replace("schema_id: review", "schema_id: ${SCHEMA}")
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfSCHEMA=${OTHER}\n")
    refused = mistakes(tmp_path, text)
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfexport SCHEMA='${OTHER}' # as it stands\n")
    (activation,) = read(tmp_path, text).project.activations.values()

    assert "SCHEMA holds a ${ in .env, where nothing is filled in" in "\n".join(refused)
    assert activation.target == "${OTHER}"


def test_comments_may_stand_where_a_value_is_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + "    limits:\n      # none yet\n      # perhaps later\n      {}\n")


@pytest.mark.long
@pytest.mark.parametrize(
    "line",
    [
        "x: " + "[" * 3000 + "]" * 3000,
        "x: " + "[" * 60 + "]" * 60,
        "x: &a [*a]",
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "\n".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
    ],
)
def test_a_file_that_stands_for_more_than_it_says_is_refused(tmp_path: Path, line: str) -> None:
    assert "nested too deeply" in "\n".join(mistakes(tmp_path, f"{line}\n{GOOD}"))


TOKENS = "version:_1 a: _b:_c #_x -_1 [ ] { } &a_ *a !t | >- ' \" %YAML_1.3 --- ... ?_k :_v <<:_*a"
PIECES = [token.replace("_", " ") for token in TOKENS.split()] + [
    *("${K}", "$K", "{{ x }}", "\t", "\x07", "1_0", ".inf", "~", "2026-01-01", "\r", "\x85"),
]


@given(lines=st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), max_size=8))
def test_no_text_is_a_defect(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text("\n".join(lines))

    with pytest.raises(ConfigurationError):  # it is never a whole project
        load(file, {"K": "k"})


@given(content=st.binary(max_size=40))
def test_no_bytes_are_a_defect(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "activations.yaml").write_bytes(content)
    (folder / ".env").write_bytes(content[::-1])

    with pytest.raises(ConfigurationError):
        load(folder / "activations.yaml", {})


def test_a_doubled_dollar_sign_is_a_dollar_sign(tmp_path: Path) -> None:
    text = GOOD.replace("schema_id: review", "schema_id: $${SCHEMA}")

    (activation,) = read(tmp_path, text).project.activations.values()

    assert activation.target == "${SCHEMA}"


def test_yaml_is_read_as_its_current_version_says(tmp_path: Path) -> None:
    text = GOOD.replace("{rating: rating}", "{country: {value: no}, at: {value: 12:30}}")

    (activation,) = read(tmp_path, text).project.activations.values()

    assert (activation.payload["country"].value, activation.payload["at"].value) == ("no", "12:30")


@pytest.mark.parametrize("secret", [" s3cret", "s3cret\n", "s3crét", ""])
def test_a_bad_key_is_refused_and_not_shown(tmp_path: Path, secret: str) -> None:
    found = "\n".join(mistakes(tmp_path, GOOD, KEY=secret))

    assert "api_key" in found
    assert not secret.strip() or secret.strip() not in found


def test_no_mistake_shows_the_value_that_was_found(tmp_path: Path) -> None:
    text = GOOD.replace("row_key: id", "row_key: {hunter2: hunter2}").replace(
        'url: "duckdb:///w.duckdb"', "url: [hunter2]"
    )

    found = "\n".join(mistakes(tmp_path, text.replace("start: all", "start: hunter2")))

    assert "hunter2" not in found


@pytest.mark.parametrize("pace", ["0", "-1", ".inf", ".nan", "1e400", "1e-300", "5e-324", "true"])
def test_a_pace_that_is_none_is_refused(tmp_path: Path, pace: str) -> None:
    text = GOOD.replace("type: engage", f"type: engage, requests_per_second: {pace}")

    assert "requests_per_second" in "\n".join(mistakes(tmp_path, text))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3", "[::1]"])
def test_plain_http_is_fine_on_this_machine(tmp_path: Path, host: str) -> None:
    assert read(tmp_path, GOOD.replace("https://acme.voyado.com", f"http://{host}:8765"))


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1.evil.example", "localhost.example"])
def test_plain_http_is_refused_elsewhere(tmp_path: Path, host: str) -> None:
    assert mistakes(tmp_path, GOOD.replace("https://acme.voyado.com", f"http://{host}"))


def test_several_destinations_must_be_chosen_from(tmp_path: Path) -> None:
    two = "  engage: {type: engage, url: https://a.voyado.com, api_key: k}\n"
    text = GOOD.replace("activations:", two.replace("engage:", "other:", 1) + "activations:")

    assert "needs a destination; one of: engage, other" in "\n".join(mistakes(tmp_path, text))


def sharing(*shares: str, keys: str = "kkkk") -> str:
    """A configuration with activations of these shares, each on the key of that letter."""
    start, activation = GOOD.index("destinations:"), GOOD[GOOD.index("    model:") :]
    text = GOOD[:start] + "destinations:\n"
    names = sorted(set(keys[: len(shares)]))
    for name in names:
        url = "https://acme.voyado.com"
        text += f'  {name}: {{type: engage, url: "{url}", api_key: key-{name}}}\n'
    text += "activations:\n"
    for number, (share, key) in enumerate(zip(shares, keys, strict=False)):
        text += f"  a{number}:\n{activation}    destination: {key}\n"
        text += f"    share: {share}\n" if share else ""
    return text


def test_shares_of_one_key_are_at_most_all_there_is(tmp_path: Path) -> None:
    read(tmp_path, sharing("60%", "40%", ""))
    read(tmp_path, sharing("33.3%", "33.3%", "33.4%"))
    read(tmp_path, sharing("60%", "60%", keys="jk"))

    (found,) = mistakes(tmp_path, sharing("60%", "", "30%", "20%"))

    assert "share: those that use the same credentials have 110% together, and 100% is all" in found
    assert found.endswith("a0 60%, a2 30%, a3 20%")
    line = int(found.split(":")[1])
    assert (tmp_path / "activations.yaml").read_text().splitlines()[line - 1] == "    share: 20%"


def test_an_earlier_name_is_that_of_one_activation_alone(tmp_path: Path) -> None:
    """Another one that had it, too, would send all of its rows again."""
    reviews = GOOD[GOOD.index("  reviews:") :]
    renamed = "{}:\n    renamed_from: {}"
    beside = GOOD + reviews.replace("reviews:", renamed.format("opinions", "reviews"), 1)
    both = GOOD.replace("reviews:", renamed.format("opinions", "old"), 1)
    both += reviews.replace("reviews:", renamed.format("views", "old"), 1)

    (still_there,) = mistakes(tmp_path, beside)
    (twice,) = mistakes(tmp_path, both)

    assert still_there.startswith(
        'activations.yaml:14:5: renamed_from: reviews: "reviews" is still'
    )
    assert twice.startswith('activations.yaml:15:5: renamed_from: old: "opinions" says so too')
    for file in (beside, both):
        *before, last = file.rpartition("renamed_from: ")
        text = "".join([*before, "false", last[last.index("\n") :]])
        assert len(read(tmp_path, text).project.activations) == 2


def test_what_a_driver_is_given_is_filled_in_and_never_shown(tmp_path: Path) -> None:
    given_ = """warehouse:
  url: "snowflake://anna@acme/SHOP"
  connect_args: {private_key_file: rsa.p8, private_key_file_pwd: "${SECRET}", port: 443}
  session: [USE ROLE reader, "set token = '${SECRET}'"]
"""
    text = GOOD.replace('warehouse: {url: "duckdb:///w.duckdb"}\n', given_)

    settings = read(tmp_path, text, SECRET="hunter2")

    warehouse = settings.project.warehouse
    assert warehouse.connect_args["private_key_file_pwd"] == "hunter2"
    assert warehouse.connect_args["port"] == 443
    assert warehouse.session == ("USE ROLE reader", "set token = 'hunter2'")
    assert "hunter2" not in repr(settings)
    one = text.replace("[USE ROLE reader, \"set token = '${SECRET}'\"]", "USE ROLE reader")
    assert read(tmp_path, one, SECRET="hunter2").project.warehouse.session == ("USE ROLE reader",)


def test_an_activation_with_a_mistake_is_there_for_whoever_names_it(tmp_path: Path) -> None:
    alerts = "alerts: {webhook: 'https://hooks.example/x', activations: [reviews, tag:crm, r*]}\n"
    text = GOOD.replace("    start: all\n", "    start: al\n    tags: [crm]\n") + alerts
    more = GOOD.partition("activations:\n")[2].replace("reviews:", "others:")

    (told,) = mistakes(tmp_path, text.replace("alerts:", f"{more}alerts:"))

    assert "start: expected all, now, or a time" in told


ONE_OR_SEVERAL = {
    "include": ("include: {}\n", "more/*.yaml"),
    "session": ("", "set role reader"),
    "alerts": ("alerts: {{webhook: 'https://hooks.example/x', activations: {}}}\n", "reviews"),
    "hooks": ("serve: {{hooks: {{dbt: {{secret: s3cret, activations: {}}}}}}}\n", "reviews"),
}


@pytest.mark.parametrize("form", ['"{}"', '["{}"]'])
@pytest.mark.parametrize("key", ONE_OR_SEVERAL)
def test_editors_take_one_name_alone_where_the_grammar_does(
    tmp_path: Path, key: str, form: str
) -> None:
    line, name = ONE_OR_SEVERAL[key]
    value = form.format(name)
    text = GOOD + line.format(value)
    if key == "session":
        text = GOOD.replace("warehouse: {", f"warehouse: {{session: {value}, ")
    (tmp_path / "more").mkdir()
    more = GOOD.partition("activations:")[2].replace("reviews:", "others:", 1)
    (tmp_path / "more" / "others.yaml").write_text(f"activations:{more}")

    assert read(tmp_path, text)
    content = YAML(typ="safe", pure=True).load(text)
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(content)) == []
