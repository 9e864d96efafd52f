"""What the words of a statement tell: a write is never judged to read, whatever it hides in."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_impersonation.statements import is_savepoint, writes

POSTGRESQL, MYSQL, SQLITE, ORACLE = "postgresql", "mysql", "sqlite", "oracle"
EVERYWHERE = (POSTGRESQL, MYSQL, SQLITE, ORACLE)
READS = [
    ("SELECT 1", EVERYWHERE),
    ("", EVERYWHERE),
    (" ; ; ", EVERYWHERE),
    ("((SELECT 1) UNION (SELECT 2))", EVERYWHERE),
    ("SELECT 'DELETE FROM t; it''s', \"update\" FROM t -- INSERT INTO t", EVERYWHERE),
    ("SELECT /* DELETE FROM t */ 1", EVERYWHERE),
    ("SELECT t.update, t.delete FROM t", EVERYWHERE),
    ("SELECT replace(a, 'b', 'c'), TRUNCATE(1.5, 1), insert('a', 1, 1, 'b')", EVERYWHERE),
    ("SELECT 1 FROM t FOR UPDATE OF t NOWAIT", EVERYWHERE),
    ("SELECT 1 FROM t FOR NO KEY UPDATE SKIP LOCKED", EVERYWHERE),
    ("SELECT statement FROM t FOR UPDATE", EVERYWHERE),
    ("WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a", EVERYWHERE),
    ("EXPLAIN ANALYZE SELECT 1", EVERYWHERE),
    ("VALUES (1), (2)", EVERYWHERE),
    ("SHOW search_path", (POSTGRESQL,)),
    ("SELECT E'\\\\', E'it\\'s; DELETE FROM t'", (POSTGRESQL,)),
    ("SELECT E'a'\r'it\\'s; DELETE FROM t'", (POSTGRESQL,)),
    ("SELECT E'a' --'\r 'it\\'s; DELETE FROM t'", (POSTGRESQL,)),
    ("SELECT 1 AS \u00a0, $\u00a0$ DELETE FROM t $\u00a0$", (POSTGRESQL,)),
    ("SELECT $$ DELETE FROM t $$, $x$ $$ UPDATE $$ $x$, a[1]", (POSTGRESQL,)),
    ("SET LOCAL statement_timeout = 5; SET search_path TO a; RELEASE SAVEPOINT s", (POSTGRESQL,)),
    ("SET app.role = 'readonly'", (POSTGRESQL,)),
    ("SELECT `delete`, 'it''s; DELETE', \"DELETE\" # DELETE", (MYSQL,)),
    ("DO RELEASE_LOCK('delete')", (MYSQL,)),
    ("PRAGMA table_info('t')", (SQLITE,)),
    ("PRAGMA main.foreign_key_list(t)", (SQLITE,)),
    ("PRAGMA foreign_keys", (SQLITE,)),
    ("PRAGMA \"main\" . [table_info]('t')", (SQLITE,)),
    ("SELECT [delete from t], `update` FROM t WHERE a LIKE %s ESCAPE '\\'", (SQLITE,)),
    ("BEGIN", (SQLITE,)),
    ("BEGIN IMMEDIATE TRANSACTION", (SQLITE,)),
]
WRITES = [
    ("DELETE FROM t", ("DELETE", "t"), EVERYWHERE),
    ('delete from only Public."T"', ("DELETE", "t"), EVERYWHERE),
    ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", ("INSERT", "t"), EVERYWHERE),
    ("INSERT OR REPLACE INTO t VALUES (1)", ("INSERT", "t"), (SQLITE,)),
    ("INSERT IGNORE t SET a = 1 ON DUPLICATE KEY UPDATE a = 2", ("INSERT", "t"), (MYSQL,)),
    ("REPLACE INTO t VALUES (1)", ("REPLACE", "t"), (SQLITE, MYSQL)),
    ("MERGE INTO t USING u ON 1 = 1 WHEN MATCHED THEN DELETE", ("MERGE", "t"), EVERYWHERE),
    ("TRUNCATE TABLE a.b.t", ("TRUNCATE", "t"), EVERYWHERE),
    ("WITH a AS (DELETE FROM t RETURNING 1) SELECT * FROM a", ("DELETE", "t"), EVERYWHERE),
    ("EXPLAIN ANALYZE DELETE FROM t", ("DELETE", "t"), EVERYWHERE),
    ("EXPLAIN ANALYZE CREATE TABLE u AS SELECT 1", ("EXPLAIN", ""), EVERYWHERE),
    ("SELECT 1; DELETE FROM t", ("DELETE", "t"), EVERYWHERE),
    ("SELECT * INTO u FROM t", ("INTO", ""), EVERYWHERE),
    ("SELECT a AS quick INTO u FROM t", ("INTO", ""), EVERYWHERE),
    ("SELECT 1 INTO OUTFILE '/tmp/x'", ("INTO", ""), EVERYWHERE),
    ("UPDATE a, t SET t.b = 1", ("UPDATE", "t"), (MYSQL,)),
    ("UPDATE a JOIN s.t ON a.x = t.y SET t.b = 1", ("UPDATE", "t"), (MYSQL,)),
    ("UPDATE a STRAIGHT_JOIN t SET t.b = 1", ("UPDATE", "t"), (MYSQL,)),
    ("UPDATE a JOIN b ON b.set = 1 JOIN t SET t.b = 1", ("UPDATE", "t"), (MYSQL,)),
    ("UPDATE a \u017fet, t SET t.b = 1", ("UPDATE", "t"), (MYSQL,)),  # no SET, whatever its capitals are
    ("UPDATE main.'t' SET b = 1", ("UPDATE", "t"), (SQLITE,)),
    ("LOAD DATA LOCAL INFILE 'x' IGNORE INTO TABLE s.t (a)", ("INTO", "t"), (MYSQL,)),
    ("LOAD XML INFILE 'x' REPLACE INTO TABLE t", ("REPLACE", "t"), (MYSQL,)),
    ("SET STATEMENT max_statement_time = 1 FOR UPDATE t SET a = 1", ("UPDATE", "t"), EVERYWHERE),
    ("SET STATEMENT max_statement_time = 1 FOR SELECT f()", ("SET", ""), EVERYWHERE),
    ("BEGIN NOT ATOMIC FOR i IN 1..1 DO UPDATE t SET a = 1; END FOR; END", ("UPDATE", "t"), EVERYWHERE),
    ("BEGIN NOT ATOMIC DELETE FROM u; WHILE 1 DO UPDATE t SET a = 1; END WHILE; END", ("UPDATE", "t"), EVERYWHERE),
    ("BEGIN NOT ATOMIC DELETE FROM u; IF 1 THEN EXECUTE IMMEDIATE ''; END IF; END", ("EXECUTE", ""), EVERYWHERE),
    ("EXPLAIN ANALYZE EXECUTE s", ("EXECUTE", ""), EVERYWHERE),
    *(
        (sql, (sql.split()[0], ""), EVERYWHERE)
        for sql in (
            "DROP TABLE t",
            "ALTER TABLE t ADD b int",
            "CALL f()",
            "COPY t FROM STDIN",
            "EXECUTE IMMEDIATE 'DELETE FROM t'",
            "PREPARE s FROM 'DELETE FROM t'",
            "LOAD DATA",
            "GRANT a TO b",
            "COMMIT",
            "ROLLBACK",
            "START TRANSACTION",
            "END",
            "LOCK TABLE t",
        )
    ),
    ("DO $$ x $$", ("DO", ""), (POSTGRESQL, SQLITE, ORACLE)),
    ("BEGIN", ("BEGIN", ""), (POSTGRESQL, MYSQL, ORACLE)),
    ("BEGIN some_procedure; END;", ("BEGIN", ""), (ORACLE,)),
    *(
        (f"SET {what}", ("SET", ""), EVERYWHERE)
        for what in (
            "TRANSACTION READ WRITE",
            "SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "transaction_read_only = off",
            "default_transaction_read_only TO off",
            "@@session.tx_read_only = 0",
            "autocommit = 1",
            "GLOBAL read_only = 0",
            "PASSWORD = 'x'",
        )
    ),
    ('SET "default_transaction_read_only" = off', ("SET", ""), (POSTGRESQL,)),
    ("SET a = 1, `autocommit` = 1", ("SET", ""), (MYSQL,)),
    ("PRAGMA query_only = OFF", ("PRAGMA", ""), (SQLITE,)),
    ("PRAGMA query_only(0)", ("PRAGMA", ""), (SQLITE,)),
    ("PRAGMA query_only(table_info)", ("PRAGMA", ""), (SQLITE,)),
    ("PRAGMA main.query_only(table_info)", ("PRAGMA", ""), (SQLITE,)),
    ("PRAGMA table_info.query_only(0)", ("PRAGMA", ""), (SQLITE,)),
    ("EXPLAIN PRAGMA query_only(0)", ("EXPLAIN", ""), (SQLITE,)),
    ("SELECT 1 /*! INTO OUTFILE 'x' */", ("?", ""), (MYSQL,)),
    ("SELECT 1 /*M! INTO OUTFILE 'x' */", ("?", ""), (MYSQL,)),
    # Each of these hides a write in what another dialect takes for a text or a comment.
    ("SELECT E'\\'', 1; DELETE FROM t WHERE a = ''", ("DELETE", "t"), (POSTGRESQL,)),
    ("SELECT E'a'\n'\\''; DELETE FROM t; --'", ("DELETE", "t"), (POSTGRESQL,)),
    ("SELECT E'a' --c\n'\\''; DELETE FROM t; --'", ("DELETE", "t"), (POSTGRESQL,)),
    ("SELECT E'a'\r'\\''; DELETE FROM t; --'", ("DELETE", "t"), (POSTGRESQL,)),
    ("SELECT 'a\\'', 1; DELETE FROM t; --'", ("DELETE", "t"), (POSTGRESQL, MYSQL)),
    ("SELECT 1 AS a\u00a0$$; DELETE FROM t; --$$", ("DELETE", "t"), (POSTGRESQL,)),
    ("SELECT 1 AS \u00a0$$; DELETE FROM t; --$$", ("DELETE", "t"), (POSTGRESQL,)),
    ("SELECT $\u00a0$ ' $\u00a0$; DELETE FROM t; --'", ("DELETE", "t"), (POSTGRESQL,)),
    ('SET U&"default_transaction_read\\005fonly" = off', ("?", ""), (POSTGRESQL,)),
    ('UPDATE u&"\\0074" SET a = 1', ("?", ""), (POSTGRESQL,)),
    ("SELECT ARRAY[']']; DELETE FROM t WHERE a = ']'", ("DELETE", "t"), (POSTGRESQL,)),
    ("SELECT 1 -- \rDELETE FROM t", ("DELETE", "t"), (POSTGRESQL,)),
    ("/* /* */ ' */ DELETE FROM t -- '", ("?", ""), (POSTGRESQL,)),
    ("SELECT 1 -- \r ' \n; DELETE FROM t -- '", ("DELETE", "t"), (SQLITE,)),
    ("SELECT 'a\\'; DELETE FROM t; SELECT 'b'", ("DELETE", "t"), (SQLITE, POSTGRESQL, MYSQL)),
    ("SELECT 1--1; DELETE FROM t", ("DELETE", "t"), (MYSQL,)),
    ("SELECT 1--\u00a0; DELETE FROM t", ("DELETE", "t"), (MYSQL,)),
    ("SELECT 1 --\x7f '\n; DELETE FROM t -- '", ("DELETE", "t"), (MYSQL,)),
    ("SELECT 1 AS [a]]']; DELETE FROM t -- '", ("DELETE", "t"), (MYSQL,)),
    ("SELECT 1 # '\n; DELETE FROM t -- '", ("DELETE", "t"), (MYSQL,)),
    ('SELECT "\\""; DELETE FROM t WHERE a = ""', ("DELETE", "t"), (MYSQL,)),
    ("SELECT 1 AS $$; DELETE FROM t; SELECT 1 AS $$", ("DELETE", "t"), (MYSQL,)),
    ("SELECT 1 AS a$$; DELETE FROM t; SELECT 1 AS a$$", ("DELETE", "t"), (POSTGRESQL, MYSQL)),
]


@pytest.mark.parametrize(("sql", "vendor"), [(sql, vendor) for sql, vendors in READS for vendor in vendors])
def test_what_only_reads(sql: str, vendor: str) -> None:
    assert writes(sql, vendor) == ()


@pytest.mark.parametrize(("sql", "found", "vendor"), [(sql, found, v) for sql, found, vs in WRITES for v in vs])
def test_what_writes(sql: str, found: tuple[str, str], vendor: str) -> None:
    assert found in [write[:2] for write in writes(sql, vendor)]


def test_columns_of_an_update_are_those_that_it_sets() -> None:
    def columns(sql: str, vendor: str = POSTGRESQL) -> list[str]:
        return sorted(writes(sql, vendor)[0].columns)

    assert columns('UPDATE "t" SET "A" = %s, b = c.d WHERE e = 1 AND (f = 2)') == ["a", "b"]
    assert columns("UPDATE t AS x SET x.a = (SELECT y FROM z WHERE v = 1), b = 2 FROM w WHERE c = 3") == [
        "a",
        "b",
        "x",
    ]
    assert columns("UPDATE t SET (a, b) = (1, 2), c = 3 WHERE d = 4") == ["a", "b", "c"]
    assert columns("UPDATE t SET x = 1, (a, b) = ROW (1, 2)") == ["a", "b", "x"]
    assert columns("UPDATE t SET a = 1 IS DISTINCT FROM 2, b = c WHERE d = 1") == ["a", "b"]
    assert columns("UPDATE t SET a = x.where, b = 1 FROM x WHERE c = 1") == ["a", "b"]
    assert columns("UPDATE t SET a[1] = 1, b.c = 2") == ["a", "b", "c"]
    assert columns("WITH x AS (UPDATE t SET a = 1 WHERE b = 2) SELECT c, d FROM x WHERE e = 3") == ["a"]
    assert columns("UPDATE t SET (a[(1 = 2)::int], b) = (1, 2)") == ["a", "b", "int"]
    assert columns("UPDATE t SET 'a' = 'x', b = 'c'", SQLITE) == ["a", "b"]
    assert columns("UPDATE t SET ('a', b) = ('x', 'c')", SQLITE) == ["a", "b"]
    assert columns("UPDATE t SET a := 1, b = 2", MYSQL) == ["a", "b"]
    assert columns("UPDATE t JOIN u ON 1 = (SELECT c.set FROM c WHERE 1) SET a = 1", MYSQL) == ["a"]
    assert columns("UPDATE t JOIN u ON 1 = 1.SET a = 1", MYSQL) == ["a"]


def test_a_long_statement_is_read_in_one_go() -> None:
    """Twice as long takes twice the time, and not four times: a bulk insert has a value for each field of each row."""
    rows = ", ".join(["(%s, %s)"] * 20_000)
    assert [write[:2] for write in writes(f"INSERT INTO t (a, b) VALUES {rows}", POSTGRESQL)] == [("INSERT", "t")]


def test_savepoints() -> None:
    for sql in ('SAVEPOINT "s1_x1"', "RELEASE SAVEPOINT `s1_x1`", "ROLLBACK TO SAVEPOINT s1_x1"):
        assert is_savepoint(sql)
    for sql in ("SAVEPOINT a; SELECT f()", "BEGIN", "ROLLBACK", "SELECT 1"):
        assert not is_savepoint(sql)


# What begins, ends and escapes texts, names and comments somewhere; and a write among them.
PIECES = ["'", '"', "`", "[", "]", "--", "--x", "#", "/*", "*/", "/*!", "\\", "$$", "$a$", "E'", ";", "a", ",", "\xa0"]
SOUP = st.lists(
    st.sampled_from(["SELECT 1", *PIECES, "\n", "\r", " ", "; DELETE FROM auth_group; "]), max_size=14
).map("".join)


@pytest.mark.django_db(transaction=True)
def test_what_deletes_is_seen() -> None:
    """By the database itself: whatever it makes of such a text, a row that is gone was seen to go."""

    @settings(max_examples=400)
    @example(noise="--1", after="")
    @given(noise=SOUP, after=SOUP)
    def check(noise: str, after: str) -> None:
        sql = f"SELECT 1 {noise}; DELETE FROM auth_group; {after}"
        assert _survives(sql) or writes(sql, connection.vendor)

    check()


def _survives(sql: str) -> bool:
    """Does the row outlive it? What stands before an error has run."""
    if connection.vendor == SQLITE:
        with closing(sqlite3.connect(":memory:")) as database:
            database.executescript("CREATE TABLE auth_group (a); INSERT INTO auth_group VALUES (1)")
            with suppress(sqlite3.Error):
                database.executescript(sql)
            return bool(database.execute("SELECT count(*) FROM auth_group").fetchone()[0])
    with transaction.atomic():
        Group.objects.create(name="kept")
        with suppress(connection.Database.Error, DatabaseError), transaction.atomic():
            cursor = connection.connection.cursor()
            cursor.execute(sql)
            while getattr(cursor, "nextset", lambda: None)():
                pass
        left = Group.objects.exists()
        transaction.set_rollback(True)
    return left
