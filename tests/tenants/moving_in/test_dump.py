"""Dumps as they are written by MySQL, PostgreSQL and SQLite, in pieces of every size."""

import io

import pytest

from tenants.moving_in.dump import DumpError, lexer, read_rows

SCHEMA = {"alias": ("address", "goto", "active", "missing")}
MYSQL = r"""-- MySQL dump 10.13
/*!40101 SET NAMES utf8 */;
CREATE TABLE `alias` (
  `address` varchar(255) NOT NULL COMMENT 'it''s; (an address)',
  `goto` text NOT NULL DEFAULT 'a,b',
  `active` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (`address`), KEY `goto` (`goto`(10)), CONSTRAINT `c` CHECK (`active` in (0,1))
) ENGINE=InnoDB;
INSERT INTO `alias` VALUES ('a@x','b\'s, \\c\n',1),('q''@x',NULL,-0);
INSERT INTO `other` VALUES ('a@x);','INSERT INTO `alias` VALUES (1,2,3);',1);
# a comment; with 'a quote
DELIMITER ;;
CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW INSERT INTO alias VALUES (1,2,3) ;;
DELIMITER ;
insert ignore into db.alias (`active`, address) values (1, _utf8'z@x'), (now(), 'y@x')
  on duplicate key update active = values(active);
"""
POSTGRES = r"""--
-- PostgreSQL database dump
--
\restrict abc'def
CREATE TABLE public.alias (
    address character varying(255) NOT NULL,
    goto text DEFAULT ''::text,
    active boolean DEFAULT true NOT NULL,
    CONSTRAINT x CHECK ((length(goto) > 1))
);
CREATE FUNCTION f() RETURNS trigger AS $_$ INSERT INTO alias VALUES (1); ' $_$ LANGUAGE sql;
COPY public.other (a, b) FROM stdin;
a;'	b
\.
COPY public.alias (address, goto, active) FROM stdin;
a@x	b\\c\td\x41\101	t
b@x	\N	f
\.
INSERT INTO public."alias" VALUES ('c:\', E'x\'y\n', true);
INSERT INTO "public".alias (address) VALUES ('d');
-- the end"""
SQLITE = """PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE IF NOT EXISTS "alias" ("address" text, "goto" text, active integer);
INSERT INTO alias VALUES('a\\','b''c
d',1);
INSERT INTO "alias" VALUES('e',replace('f\\ng','\\n',char(10)),0);
COMMIT;
"""
CASES = {
    "mysql": (
        MYSQL,
        [
            ("a@x", "b's, \\c\n", "1", None),
            ("q'@x", None, "-0", None),
            ("z@x", None, "1", None),
            ("y@x", None, "now()", None),
        ],
    ),
    "postgres": (
        POSTGRES,
        [
            ("a@x", "b\\c\tdAA", "t", None),
            ("b@x", None, "f", None),
            ("c:\\", "x'y\n", "true", None),
            ("d", None, None, None),
        ],
    ),
    "sqlite": (
        SQLITE,
        [("a\\", "b'c\nd", "1", None), ("e", "replace(f\\ng,\\n,char(10))", "0", None)],
    ),
}


class Pieces(io.StringIO):
    """Hands the text out in pieces; the first tells the kind of dump."""

    size = 1
    _begun = False

    def read(self, _size: int | None = -1) -> str:
        begun, self._begun = self._begun, True
        return super().read(self.size if begun else 60)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_read_rows_finds_every_row(name: str, size: int) -> None:
    text, expected = CASES[name]
    pieces = Pieces(text)
    pieces.size = size
    assert [row for _, row in read_rows(pieces, SCHEMA)] == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("INSERT INTO alias (address) VALUES ('a@x", "cut off"),
        ("INSERT INTO alias (address) VALUES ('a@x'), ", "cut off"),
        ("COPY alias (address) FROM stdin;\na@x\n", "cut off"),
        ("CREATE TABLE alias (address text", "cut off"),
        ("INSERT INTO alias VALUES ('a@x');", "CREATE TABLE is missing"),
        ("INSERT INTO alias (address, goto) VALUES ('a@x');", "1 values for 2 columns"),
        ("INSERT INTO alias (address) VALUES 'a@x';", "Where a row has to stand"),
    ],
)
def test_read_rows_refuses_what_is_broken(text: str, sentence: str) -> None:
    with pytest.raises(DumpError, match=sentence):
        list(read_rows(io.StringIO(text), SCHEMA))


def test_a_value_without_end_is_refused_before_memory_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lexer, "LONGEST", 1000)
    monkeypatch.setattr(lexer, "PIECE", 100)
    text = io.StringIO("INSERT INTO other VALUES ('" + "x" * 10_000)
    with pytest.raises(DumpError, match="longer than 1,000"):
        list(read_rows(text, SCHEMA))


def test_rows_are_read_as_they_come() -> None:
    head = "CREATE TABLE alias (address text);\n"
    text = Pieces(head + "INSERT INTO alias VALUES ('a');\n" * 1000)
    text.size = 1000
    next(read_rows(text, SCHEMA))
    assert text.tell() < len(head) + 5000
