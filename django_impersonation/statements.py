"""Does an SQL statement write, and where? Judged by its words; what is not known to read counts as a write.

No parser of any dialect: what words cannot show (a function that writes) is left to the database's own read-only mode.
But where texts and comments end is as each database has it, or a write could hide in what only looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_TOKENS = r"""
    (?P<hidden> /\*M?! | /\*(?:(?!\*/).)*?/\* )  # executed by MariaDB and MySQL; nested, as PostgreSQL alone has them
  | (?P<noise> %(comment)s | /\*.*?\*/ | \s+ )
  | (?P<text> %(text)s )
  | (?P<name> %(name)s )
  | (?P<word> [^\W\d][\w$]* )
  | (?P<sign> . )
"""
_PLAIN, _ESCAPED = r"'(?:[^']|'')*'", r"'(?:[^'\\]|''|\\.)*'"
_QUOTED, _ESCAPED_QUOTED, _BACKTICKED = r'"(?:[^"]|"")*"', r'"(?:[^"\\]|""|\\.)*"', r"`(?:[^`]|``)*`"
_DOLLARS = r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"
# A comment begins with two dashes and white space, or with a hash.
_MYSQL = {"comment": r"--(?![^\s\x00-\x1f])[^\n]* | \#[^\n]*"}
# What each vendor's texts and comments are; where the settings of a server decide, what each setting makes of them.
_DIALECTS = {
    "postgresql": [
        {
            "comment": r"--[^\n\r]*",
            "text": rf"[eE]{_ESCAPED}(?:\s*\n\s*{_ESCAPED})* | {_PLAIN} | {_DOLLARS}",
            "name": _QUOTED,
        }
    ],
    "sqlite": [{"comment": r"--[^\n]*", "text": _PLAIN, "name": rf"{_QUOTED} | {_BACKTICKED} | \[[^\]]*\]"}],
    "mysql": [
        _MYSQL | {"text": _ESCAPED, "name": rf"{_ESCAPED_QUOTED} | {_BACKTICKED}"},
        _MYSQL | {"text": _ESCAPED, "name": rf"{_QUOTED} | {_BACKTICKED}"},  # ANSI_QUOTES
        _MYSQL | {"text": _PLAIN, "name": rf"{_QUOTED} | {_BACKTICKED}"},  # NO_BACKSLASH_ESCAPES
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
# EXPLAIN ANALYZE runs these.
_EXPLAINED = {"CREATE", "EXECUTE", "REFRESH", "DECLARE", "CALL"}
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
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """An identifier, without its quotes; "" for what is none."""
        if self.kind not in ("word", "name"):
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
    return found or ([] if _reads(tokens, vendor) else [Write(tokens[0].word or "?", "")])


def _reads(tokens: list[_Token], vendor: str) -> bool:
    """A statement without a verb."""
    words = [token.word for token in tokens if token.text != "("]
    first = words[0] if words else ""
    if first == "PRAGMA":
        sets = any(token.text in ("=", "(") for token in tokens)
        return not sets or (any(map(_PRAGMAS.fullmatch, words[1:4])) and all(token.text != "=" for token in tokens))
    if first == "SET":
        return not any(map(_SETTINGS.fullmatch, words))
    if first == "BEGIN":  # elsewhere it ends the transaction that is read-only, or begins a block of a language
        return vendor == "sqlite" and len(words) < 4
    if first in ("SAVEPOINT", "RELEASE") or words[:2] == ["ROLLBACK", "TO"]:
        return True
    return first in _READS and (first != "EXPLAIN" or _EXPLAINED.isdisjoint(words))


def _verbs(tokens: list[_Token]) -> Iterator[Write]:
    """At any depth: ``WITH gone AS (DELETE FROM …) SELECT …`` writes."""
    before, belongs = "", False  # to a verb: the INTO of INSERT INTO, and not that of SELECT … INTO
    for place, token in enumerate(tokens):
        word = token.word
        is_call = word in ("REPLACE", "INSERT", "TRUNCATE") and tokens[place + 1 : place + 2] == [_Token("sign", "(")]
        locks = word == "UPDATE" and before in ("FOR", "KEY", "DO", "ON")
        if word in _VERBS and before not in ("OR", ".") and not locks and not is_call:
            columns = _columns(tokens, place) if word == "UPDATE" else frozenset()
            yield from (Write(word, table, columns) for table in _tables(tokens, place + 1, several=word == "UPDATE"))
            belongs = True
        elif word == "INTO" and not belongs:
            yield Write("INTO", "")
        else:
            belongs = belongs and word in _FILLERS
        before = word or token.text


def _tables(tokens: list[_Token], start: int, *, several: bool) -> Iterator[str]:
    """The last part of each name like ``schema.table``; ``several`` before the SET: MariaDB's and MySQL's UPDATE."""
    place = start
    while place < len(tokens) and tokens[place].word in _FILLERS:
        place += 1
    while tokens[place + 1 : place + 2] == [_Token("sign", ".")]:
        place += 2
    yield tokens[place].name if place < len(tokens) else ""
    while several and place < len(tokens) and tokens[place].word != "SET":
        place += 1
        if place < len(tokens) and (tokens[place].text == "," or tokens[place].word == "JOIN"):
            yield from _tables(tokens, place + 1, several=True)
            return


def _columns(tokens: list[_Token], start: int) -> frozenset[str]:
    """After SET, whatever stands before an ``=`` or in a list before one: more than is set, and never fewer."""
    place = next((n for n in range(start, len(tokens)) if tokens[n].word == "SET"), len(tokens))
    found: set[str] = set()
    depth, listed = 0, False
    for before, token in zip(tokens[place:], tokens[place + 1 :], strict=False):
        if token.text == "(":
            listed = listed or (depth == 0 and (before.word == "SET" or before.text == ","))
            depth += 1
        elif token.text == ")":
            depth -= 1
            listed = listed and depth > 0
        elif depth == 0 and token.word in ("WHERE", "FROM", "RETURNING"):
            break
        if listed:
            found.add(token.name)
        elif token.text == "=":
            found.add(before.name)
    return frozenset(found - {""})
