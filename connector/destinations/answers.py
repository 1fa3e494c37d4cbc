"""An answer: how it is read off the wire, no more of it than can be held; or why there is none."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import httptools

LARGEST_ANSWER = 16 << 20
"""Bytes, packed or not: a page of fifty interactions has some thousand."""
LARGEST_HEAD = 1 << 16
"""Bytes of its head, with all that is said before it."""
CHUNK = 1 << 16
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
UNREADABLE = "an answer that cannot be read"
CUT = "the connection was closed before the whole answer came"


class Failure(Exception):
    """There is no answer of use; it says why, to people, and holds no secret and no address."""


class NeverSent(Failure):
    """Not a byte of the request was written."""


class NoAnswer(Failure):
    """The request was written, or part of it: it may have arrived."""


class AnswerTooLarge(NoAnswer):
    """It goes on where nobody reads on; or it would, if it were unpacked."""

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")


class Headers(Mapping[str, str]):
    """What an answer says beside its body, by names in which case does not matter."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        """`fields`: by names in lower case."""
        self._fields = fields

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Headers":
        """Of text, for answers that never were on a wire."""
        return cls({name.lower().encode(): value.encode() for name, value in fields.items()})

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower().encode()].decode(errors="replace")

    def __iter__(self) -> Iterator[str]:
        return (name.decode(errors="replace") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: `path` starts after the url of the API, and may have a query."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content: bytes = field(default=b"", repr=False)


NOTHING_ASKED = Request("GET", "")


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, unpacked, and the request that it is to."""

    status_code: int
    headers: Headers = field(default_factory=lambda: Headers({}), repr=False)
    content: bytes = field(default=b"", repr=False)
    request: Request = field(default=NOTHING_ASKED, repr=False)

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status_code < 300

    @property
    def is_client_error(self) -> bool:
        """4xx."""
        return 400 <= self.status_code < 500


class Reading:
    """One answer as it comes in, in whatever pieces (RFC 9112, sections 4, 6 and 7).

    Whatever is wrong with it, no other answer is made of it: what follows its end belongs to no
    request, and trailers are dropped (RFC 9110, section 6.5.1). What comes of it does not depend
    on how it is cut.
    """

    def __init__(self, head_alone: bool = False) -> None:
        """`head_alone`: it ends with its head, as one to CONNECT does (RFC 9112, section 6.3)."""
        self.status = 0
        self.is_whole = False
        self.may_go_on = False
        """Whether another request may use the connection (RFC 9112, section 9.3)."""
        self._head_alone = head_alone
        self._fields: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._read = 0
        self._has_head = False
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, piece: bytes) -> None:
        """The next piece. Raises NoAnswer where no answer can come of it."""
        assert self._parser is not None
        while piece and not self.is_whole:
            room = (LARGEST_ANSWER if self._has_head else LARGEST_HEAD) - self._read
            if room <= 0:
                raise AnswerTooLarge if self._has_head else NoAnswer(UNREADABLE)
            try:
                self._parser.feed_data(piece[:room])
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                if not self.is_whole:
                    raise NoAnswer(UNREADABLE) from error
            self._read += min(room, len(piece))
            piece = piece[room:]
        if piece:
            self.may_go_on = False

    def end(self) -> None:
        """The connection has ended, and with it an answer that does not tell its length (RFC 9112,
        section 6.3, the last rule)."""
        self.is_whole = self._has_head and self._ends_with_its_connection()

    def response(self, request: Request) -> Response:
        """The whole answer. Raises NoAnswer where it cannot be unpacked."""
        self._parser = None  # it knows us, and we it
        packed = self._fields.pop(b"content-encoding", b"")
        content = bytes(self._body)
        if packed:
            content = unpacked(content, [packed.decode(errors="replace")])
        return Response(self.status, Headers(self._fields), content, request)

    # --- what the parser tells ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_whole:
            self.may_go_on = False
            raise ValueError("nobody has asked for more")
        self._fields = {}  # those of a 1xx are not the answer's

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:
            name = name.lower()
            before = self._fields.get(name)
            self._fields[name] = value if before is None else before + b", " + value

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        if self.status < 100:
            raise ValueError("no status")
        self._has_head = self.status >= 200
        if not self._has_head:
            return
        if self._fields.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise ValueError("a coding of which we have not said that we know it")
        self.is_whole = self.may_go_on = self._head_alone

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._has_head and not self._head_alone:
            self.is_whole = True
            self.may_go_on = self._parser.should_keep_alive()

    def _ends_with_its_connection(self) -> bool:
        return not self._fields.keys() & {b"content-length", b"transfer-encoding"}


def unpacked(content: bytes, encodings: Iterable[str]) -> bytes:
    """`content` without its `encodings`, the last of them first. Raises AnswerTooLarge, or NoAnswer
    for one that was not asked for or does not fit."""
    named = [name.strip().lower() for each in encodings for name in each.split(",")]
    for encoding in reversed([name for name in named if name not in ("", "identity")]):
        try:
            content = _unpacked_once(content, encoding)
        except (zlib.error, ValueError) as error:
            said = "the answer is packed in a way that cannot be unpacked"
            raise NoAnswer(said) from error
    return content


def _unpacked_once(content: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(encoding)
    try:
        return _inflated(content, GZIP_OR_ZLIB)
    except zlib.error:
        if encoding != "deflate":
            raise
        return _inflated(content, -zlib.MAX_WBITS)  # without its wrapping, as some send it


def _inflated(content: bytes, form: int) -> bytes:
    if not content:  # an answer that can have no body may still say how it would be packed
        return content
    inflating, whole = zlib.decompressobj(form), bytearray()
    while not inflating.eof:
        more = inflating.decompress(content, CHUNK)
        whole += more
        if len(whole) > LARGEST_ANSWER:
            raise AnswerTooLarge
        if not more and not inflating.unconsumed_tail:
            break
        content = inflating.unconsumed_tail
    if not inflating.eof:
        raise zlib.error("the end is missing")
    return bytes(whole)
