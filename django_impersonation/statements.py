"""Does an SQL statement write, and where? Judged by its words; what is not known to read counts as a write.

No parser of any dialect: what words cannot show (a function that writes) is left to the database's own read-only mode.
But where texts and comments end is as each database has it, or a write could hide in what only looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

_TOKENS = r"""
    # Executed by MariaDB and MySQL; nested, as PostgreSQL alone has them; one of its names, in escapes.
    (?P<hidden> /\*M?! | /\*(?:(?!\*/).)*?/\* | [uU]&" )
  | (?P<noise> %(comment)s | /\*.*?\*/ | [ \t\n\r\f\v]+ )  # no other white space: it belongs to a word
  | (?P<text> %(text)s )
  | (?P<name> %(name)s )
  | (?P<word> [A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]* )
  | (?P<sign> . )
"""
_PLAIN, _ESCAPED = r"'(?:[^']|'')*'", r"'(?:[^'\\]|''|\\.)*'"
_QUOTED, _ESCAPED_QUOTED, _BACKTICKED = r'"(?:[^"]|"")*"', r'"(?:[^"\\]|""|\\.)*"', r"`(?:[^`]|``)*`"
_BRACKETED, _MSSQL = r"\[[^\]]*\]", r"\[(?:[^\]]|\]\])*\]"
_DOLLARS = r"\$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?)\$.*?\$(?P=tag)\$"
# A text goes on behind a newline, and comments.
_CONTINUED = rf"[eE]{_ESCAPED}(?:(?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*{_ESCAPED})*"
# A comment begins with two dashes and white space or a control character, or with a hash.
_MYSQL = {"comment": r"--(?![^\x00-\x20\x7f])[^\n]* | \#[^\n]*"}
# What each vendor's texts and comments are; where the settings of a server decide, what each setting makes of them.
_DIALECTS = {
    "postgresql": [
        {"comment": r"--[^\n\r]*", "text": rf"{_CONTINUED} | {text} | {_DOLLARS}", "name": _QUOTED}
        for text in (_PLAIN, _ESCAPED)  # standard_conforming_strings, on and off
    ],
    "sqlite": [{"comment": r"--[^\n]*", "text": _PLAIN, "name": rf"{_QUOTED} | {_BACKTICKED} | {_BRACKETED}"}],
    "mysql": [
        _MYSQL | {"text": _ESCAPED, "name": rf"{_ESCAPED_QUOTED} | {_BACKTICKED}"},
        _MYSQL | {"text": _ESCAPED, "name": rf"{_QUOTED} | {_BACKTICKED} | {_MSSQL}"},  # ANSI_QUOTES
        _MYSQL | {"text": _PLAIN, "name": rf"{_QUOTED} | {_BACKTICKED} | {_MSSQL}"},  # NO_BACKSLASH_ESCAPES
    ],
}
_SCANNERS = {
    vendor: [re.compile(_TOKENS % dialect, re.VERBOSE | re.DOTALL) for dialect in dialects]
    for vendor, dialects in _DIALECTS.items()
}
_ALL = [scanner for scanners in _SCANNERS.values() for scanner in scanners]
# What may begin a statement that only reads.
_READS = {"SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "SHOW", "DESCRIBE", "DESC"}
_VERBS = {"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "TRUNCATE"}
# What may stand between a verb and its table.
_FILLERS = {"INTO", "FROM", "ONLY", "IGNORE", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "TABLE"}
_FILLERS |= {"OR", "ROLLBACK", "ABORT", "FAIL", "REPLACE"}  # SQLite: INSERT OR REPLACE INTO
# EXPLAIN ANALYZE runs these; SQLite sets a pragma while it explains it.
_EXPLAINED = {"CREATE", "EXECUTE", "REFRESH", "DECLARE", "CALL", "PRAGMA"}
# Settings of the connection change no row, but these would end its read-only mode, run a statement, or stay for all.
_SETTINGS = re.compile(r"WRITE|AUTOCOMMIT|STATEMENT|PASSWORD|GLOBAL|PERSIST(_ONLY)?|\w*READ_?ONLY|QUERY_ONLY")
_PRAGMAS = re.compile(r"TABLE_X?INFO|TABLE_LIST|INDEX_X?INFO|INDEX_LIST|FOREIGN_KEY_(LIST|CHECK)|\w+_CHECK")
_SAVEPOINT = re.compile(r"(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) [\"`]?\w+[\"`]?", re.IGNORECASE)
_CACHED_LENGTH = 10_000


class Write(NamedTuple):
    """``verb`` in capitals; ``table`` without its schema, "" where the words do not tell; ``columns`` of an UPDATE.

    Names are in small letters, whatever the database makes of them.
    """

    verb: str
    table: str
    columns: frozenset[str] = frozenset()


def bare(table: str) -> str:
    """A model's table as ``Write`` has it. Projects name a schema as well: ``auth"."user``."""
    return table.lower().replace('"', "").rpartition(".")[2]


class _Token(NamedTuple):
    kind: str
    text: str

    @property
    def word(self) -> str:
        """In capitals, if it is one that means something to SQL."""
        return self.text.upper() if self.kind == "word" and self.text.isascii() else ""

    @property
    def name(self) -> str:
        """An identifier, without its quotes, which to SQLite are those of texts too; "" for what is none."""
        if self.kind == "sign":
            return ""
        bare = self.text if self.kind == "word" else self.text[1:-1].replace(self.text[-1] * 2, self.text[-1])
        return bare.lower()


def writes(sql: str, vendor: str) -> tuple[Write, ...]:
    """What the statements of ``sql`` write; empty if they only read. An unknown vendor is read as all."""
    return (_cached if len(sql) <= _CACHED_LENGTH else _judge)(sql, vendor)


def is_savepoint(sql: str) -> bool:
    """Is it one of Django's own statements for a part of a transaction?"""
    return _SAVEPOINT.fullmatch(sql) is not None


def _judge(sql: str, vendor: str) -> tuple[Write, ...]:
    readings = [_read(scanner, sql, vendor) for scanner in _SCANNERS.get(vendor, _ALL)]
    return tuple(dict.fromkeys(write for reading in readings for write in reading))


_cached = lru_cache(maxsize=1024)(_judge)


def _read(scanner: re.Pattern[str], sql: str, vendor: str) -> list[Write]:
    tokens: list[_Token] = []
    found: list[Write] = []
    for match in scanner.finditer(sql):
        kind = str(match.lastgroup)
        if kind == "hidden":
            return [Write("?", "")]
        if match["sign"] == ";":
            found += _statement(tokens, vendor)
            tokens = []
        elif kind != "noise":
            tokens.append(_Token(kind, match[0]))
    return [*found, *_statement(tokens, vendor)]


def _statement(tokens: list[_Token], vendor: str) -> list[Write]:
    if not tokens:
        return []
    found = list(_verbs(tokens))
    if found or _reads(tokens, vendor):
        return found
    runs = any(token.word == "EXECUTE" for token in tokens)  # in a block or a loop, or behind EXPLAIN
    return [Write("EXECUTE" if runs else tokens[0].word or "?", "")]


def _reads(tokens: list[_Token], vendor: str) -> bool:
    """A statement without a verb."""
    words = [token.word for token in tokens if token.text != "("]
    first = words[0] if words else ""
    if first == "PRAGMA":
        sets = any(token.text in ("=", "(") for token in tokens)
        place = 3 if tokens[2:3] == [_Token("sign", ".")] else 1
        known = any(_PRAGMAS.fullmatch(token.name.upper()) for token in tokens[place : place + 1])
        return not sets or (known and all(token.text != "=" for token in tokens))
    if first == "SET":
        return not any(_SETTINGS.fullmatch(token.name.upper()) for token in tokens if token.kind != "text")
    if first == "DO":  # it evaluates, as SELECT does; elsewhere it runs a block of a language
        return vendor == "mysql"
    if first == "BEGIN":  # elsewhere it ends the transaction that is read-only, or begins a block of a language
        return vendor == "sqlite" and len(words) < 4
    if first in ("SAVEPOINT", "RELEASE") or words[:2] == ["ROLLBACK", "TO"]:
        return True
    return first in _READS and (first != "EXPLAIN" or _EXPLAINED.isdisjoint(words))


def _verbs(tokens: list[_Token]) -> Iterator[Write]:
    """At any depth: ``WITH gone AS (DELETE FROM …) SELECT …`` writes."""
    belongs = False  # to a verb: the INTO of INSERT INTO, and not that of SELECT … INTO
    for place, token in enumerate(tokens):
        word = token.word
        if word in _VERBS and _begins(tokens, place):
            columns = _columns(tokens, place) if word == "UPDATE" else frozenset()
            yield from (Write(word, table, columns) for table in _tables(tokens, place + 1, several=word == "UPDATE"))
            belongs = True
        elif word == "INTO" and not belongs:  # a new table, a file or a variable; LOAD DATA … INTO TABLE
            named = any(after.word == "TABLE" for after in tokens[place + 1 : place + 2])
            yield Write("INTO", next(_tables(tokens, place + 1, several=False)) if named else "")
        else:
            belongs = belongs and word in _FILLERS


def _begins(tokens: list[_Token], place: int) -> bool:
    """Does a verb begin what it is the verb of? Others are names, calls, locks, and parts of an INSERT."""
    verb, before = tokens[place].word, tokens[place - 1] if place else _Token("sign", "")
    after = tokens[place + 1] if place + 1 < len(tokens) else _Token("sign", "")
    if before.text == "." or before.word == "OR":
        return False
    if verb in ("REPLACE", "INSERT", "TRUNCATE"):
        return after.text != "("
    if verb == "UPDATE" and before.word == "FOR":  # MariaDB: SET STATEMENT … FOR UPDATE
        return any(one.word == "SET" and two.word == "STATEMENT" for one, two in pairwise(tokens[:place]))
    if verb == "UPDATE" and before.word == "DO":  # ON CONFLICT DO UPDATE SET; MariaDB: WHILE … DO UPDATE
        return after.word != "SET"
    return verb != "UPDATE" or before.word not in ("KEY", "ON")


def _tables(tokens: list[_Token], start: int, *, several: bool) -> Iterator[str]:
    """The last part of each name like ``schema.table``; ``several`` before the SET: MariaDB's and MySQL's UPDATE."""
    place = start
    while place < len(tokens) and tokens[place].word in _FILLERS:
        place += 1
    while tokens[place + 1 : place + 2] == [_Token("sign", ".")]:
        place += 2
    yield tokens[place].name if place < len(tokens) else ""
    while several and place < len(tokens) and (tokens[place].word != "SET" or tokens[place - 1].text == "."):
        place += 1
        if place < len(tokens) and (tokens[place].text == "," or tokens[place].word in ("JOIN", "STRAIGHT_JOIN")):
            yield from _tables(tokens, place + 1, several=True)
            return


def _columns(tokens: list[_Token], start: int) -> frozenset[str]:
    """After SET, whatever is named before the ``=`` of each part: more than is set, and never fewer."""
    found: set[str] = set()
    depth, is_set = 0, False
    for before, token in pairwise(tokens[start:]):
        is_set = is_set or (depth == 0 and (before.word == "SET" or before.text == ","))
        if token.text in ("(", ")"):
            depth += 1 if token.text == "(" else -1
        elif depth == 0 and token.text == "=":
            is_set = False
        elif depth == 0 and token.word == "WHERE" and before.text != ".":
            break
        if is_set:
            found.add(token.name)
    return frozenset(found - {""})
