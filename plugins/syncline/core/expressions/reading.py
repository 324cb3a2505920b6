"""From lexemes to the checked tree: sqlglot's parser decides what binds tighter, a whitelist what may be there.

The parser sees only structure. Names and literals go to it as `n0`, `n1`, ... and come back by their number, so their
text never passes through it, and every leaf knows its place. Each node of its tree must be of a class in READERS and
have no part but the ones named there; everything else is refused, whatever a later version of sqlglot may read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import Token, TokenType

from syncline.core.expressions import functions, rules
from syncline.core.expressions.lexemes import Kind, Lexeme, lexemes
from syncline.core.expressions.nodes import (
    Case,
    Column,
    Connective,
    Constant,
    Known,
    Node,
    known_of,
    number_constant,
    text_constant,
)
from syncline.core.expressions.refused import DEPTH_MAX, PARTS_MAX, ExpressionRefused
from syncline.core.expressions.words import SPECIAL
from syncline.core.transforms.base import template
from syncline.core.types import BOOLEAN, DATE, TEXT, PgType

TOKENS = {
    "(": TokenType.L_PAREN, ")": TokenType.R_PAREN, ",": TokenType.COMMA, "+": TokenType.PLUS, "-": TokenType.DASH,
    "*": TokenType.STAR, "/": TokenType.SLASH, "%": TokenType.MOD, "||": TokenType.DPIPE, "::": TokenType.DCOLON,
    "=": TokenType.EQ, "<>": TokenType.NEQ, "!=": TokenType.NEQ, "<": TokenType.LT, "<=": TokenType.LTE,
    ">": TokenType.GT, ">=": TokenType.GTE, "~": TokenType.RLIKE, "as": TokenType.ALIAS, "at": TokenType.VAR,
    "time": TokenType.VAR, "zone": TokenType.VAR, "numeric": TokenType.DECIMAL, "cast": TokenType.VAR,
    "extract": TokenType.VAR,
    **{word: TokenType[word.upper()] for word in (
        "and", "or", "not", "is", "null", "true", "false", "case", "when", "then", "else", "end", "in", "between",
        "like", "ilike", "distinct", "from", "text", "date", "timestamp", "timestamptz")},
}  # fmt: skip
LITERAL_TYPES = {
    exp.DType.DATE: DATE,
    exp.DType.TIMESTAMP: PgType("timestamp"),
    exp.DType.TIMESTAMPTZ: PgType("timestamptz"),
}
SIGNS: dict[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<",
    exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip


class _Parser(PostgresParser):
    """The grammar without its functions: a name before a bracket is a call, whatever the name."""

    FUNCTIONS = {}  # noqa: RUF012 (sqlglot's own way of saying it)
    FUNCTION_PARSERS = {word: PostgresParser.FUNCTION_PARSERS[word] for word in ("CAST", "EXTRACT")}  # noqa: RUF012
    NO_PAREN_FUNCTION_PARSERS = {"CASE": PostgresParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}  # noqa: RUF012
    NO_PAREN_FUNCTIONS = {}  # noqa: RUF012


def read(text: str, types: Mapping[str, PgType]) -> tuple[Node, tuple[str, ...]]:
    """The checked tree, and the columns that it reads in order of first use; raises ExpressionRefused."""
    found = lexemes(text, types, frozenset(functions.FUNCTIONS))
    try:
        tree = _parse(found)
        _check_depth(tree)
        node = _Reader(found, types).read(tree)
    except RecursionError:  # the limits make this impossible from an ordinary depth of the stack
        raise ExpressionRefused(0, "nested too deeply", "use several fields") from None
    if isinstance(node, rules.Null):
        raise ExpressionRefused(0, "the expression is null", "write a value")
    columns = dict.fromkeys(lexeme.text for lexeme in found if lexeme.kind is Kind.COLUMN)
    return node, tuple(columns)


def _parse(found: list[Lexeme]) -> exp.Expr:
    parser = _Parser(error_level=ErrorLevel.IMMEDIATE, dialect="postgres")
    tokens = [token for n in range(len(found)) for token in _tokens(found, n)]
    try:
        (tree,) = parser.parse_into(exp.Condition, tokens, "")
    except SqlglotError as error:
        raise ExpressionRefused(
            _error_position(error, found), "this cannot be read", "see docs/expressions.md for how it is written"
        ) from None
    if tree is None:
        raise ExpressionRefused(0, "this is not an expression")
    return tree


def _tokens(found: list[Lexeme], n: int) -> list[Token]:
    """What the parser is given for a lexeme. The column of a token is the number of its lexeme."""
    lexeme, before = found[n], found[n - 1] if n else None
    if lexeme.kind is Kind.STRING and before is not None and before.kind is Kind.TYPE:
        return [Token(TokenType.STRING, f"n{n}", col=n)]
    if lexeme.kind in (Kind.COLUMN, Kind.STRING, Kind.NUMBER) or _is_value(found, n):
        return [Token(TokenType.IDENTIFIER, f"n{n}", col=n)]
    if lexeme.kind is Kind.FIELD or (lexeme.kind is Kind.FUNCTION and lexeme.text not in SPECIAL):
        return [Token(TokenType.VAR, f"n{n}", col=n)]
    if lexeme.text == "!~":
        return [Token(TokenType.NOT, "not", col=n), Token(TokenType.RLIKE, "~", col=n)]
    return [Token(TOKENS[lexeme.text], lexeme.text, col=n)]


def _is_value(found: list[Lexeme], n: int) -> bool:
    """Whether null, true or false is a value of its own, not the end of `is not null`."""
    if found[n].kind is not Kind.KEYWORD or found[n].text not in ("null", "true", "false"):
        return False
    words = [lexeme.text if lexeme.kind is Kind.KEYWORD else "" for lexeme in found[max(n - 2, 0) : n]]
    return not (words[-1:] == ["is"] or words == ["is", "not"])


def _error_position(error: SqlglotError, found: list[Lexeme]) -> int:
    errors: list[dict[str, Any]] = getattr(error, "errors", [])
    n = errors[0].get("col") if errors else None
    return found[n].position if isinstance(n, int) and n < len(found) else 0


def _check_depth(tree: exp.Expr) -> None:
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise ExpressionRefused(0, f"more than {DEPTH_MAX} operators inside each other", "use several fields")
        waiting += [(child, depth + 1) for child in node.iter_expressions()]


class _Reader:
    """Walks sqlglot's tree; every method reads one class of its nodes."""

    def __init__(self, found: list[Lexeme], types: Mapping[str, PgType]) -> None:
        self.found, self.types = found, types

    def read(self, tree: Any) -> Node:
        readers = READERS.get(type(tree))
        if readers is None:
            raise ExpressionRefused(self._place(tree), "this is not part of expressions", "see docs/expressions.md")
        reader, parts = readers
        present = {name for name, part in tree.args.items() if part not in (None, False, [])}
        if not present <= parts:
            raise ExpressionRefused(
                self._place(tree), "this form is not part of expressions", "see docs/expressions.md"
            )
        node = reader(self, tree)
        if node.weight > PARTS_MAX:
            raise ExpressionRefused(node.position, "its SQL would be too long", "use several fields")
        return node

    def _place(self, tree: Any) -> int:
        """Where the first leaf below stands."""
        leaves = tree.find_all(exp.Identifier, exp.Literal) if isinstance(tree, exp.Expr) else ()
        numbers = [int(leaf.name[1:]) for leaf in leaves if leaf.name[1:].isdigit()]
        return self.found[min(numbers)].position if numbers else 0

    def _lexeme(self, name: str) -> Lexeme:
        return self.found[int(name[1:])]

    def leaf(self, tree: exp.Column) -> Node:
        lexeme = self._lexeme(tree.name)
        at = lexeme.position
        match lexeme.kind, lexeme.text:
            case Kind.COLUMN, name:
                kind = self.types[name]
                return Column(TEXT if kind.family == "text" else kind, known_of(kind), at, name)
            case Kind.STRING, said:
                return text_constant(said, at)
            case Kind.NUMBER, said:
                return number_constant(said, at)
            case _, "null":
                return rules.null(at)
        return Constant(BOOLEAN, Known(), at, template("true" if lexeme.text == "true" else "false"), lexeme.text)

    def paren(self, tree: exp.Paren) -> Node:
        return self.read(tree.this)

    def negative(self, tree: exp.Neg) -> Node:
        node = self.read(tree.this)
        if isinstance(node, Constant) and node.type.family == "number" and not node.said.startswith("-"):
            return number_constant("-" + node.said, node.position)
        return rules.negative(node)

    def arithmetic(self, tree: exp.Binary) -> Node:
        sign = SIGNS[type(tree)]
        left, right = self.read(tree.this), self.read(tree.expression)
        families = left.type.family, right.type.family
        if rules.Null in (type(left), type(right)) or "date" not in families or sign not in "+-":
            return rules.arithmetic(sign, left, right)
        if families == ("date", "date") and sign == "-":
            return rules.days_between(left, right)
        if sign == "+" and families[1] == "date":
            left, right = right, left
        return rules.shifted(sign, left, right)

    def joined(self, tree: exp.DPipe) -> Node:
        return rules.joined(self.read(tree.this), self.read(tree.expression))

    def compare(self, tree: exp.Binary) -> Node:
        return rules.compare(SIGNS[type(tree)], self.read(tree.this), self.read(tree.expression))

    def distinct(self, tree: exp.Binary) -> Node:
        left, right = self.read(tree.this), self.read(tree.expression)
        rules.comparable("is distinct from", left, right)
        word = "is distinct from" if isinstance(tree, exp.NullSafeNEQ) else "is not distinct from"
        return rules.condition(f"{{0}} {word} {{1}}", left, right)

    def is_(self, tree: exp.Is) -> Node:
        node = self.read(tree.this)
        negation = "not " if tree.args.get("negate") else ""
        if isinstance(tree.expression, exp.Null):
            if isinstance(node, rules.Null):
                rules.refuse(node, "null is null")
            return rules.condition(f"{{0}} is {negation}null", node)
        if not isinstance(tree.expression, exp.Boolean):
            rules.refuse(node, "`is` of something else", "is null, is true, is false, is distinct from")
        truth = "true" if tree.expression.this else "false"
        return rules.condition(f"{{0}} is {negation}{truth}", rules.boolean(node, "`is`"))

    def not_(self, tree: exp.Not) -> Node:
        return rules.condition("not {0}", rules.boolean(self.read(tree.this), "`not`"))

    def connective(self, tree: exp.Connector) -> Node:
        word = "and" if isinstance(tree, exp.And) else "or"
        left, right = (rules.boolean(self.read(side), f"`{word}`") for side in (tree.this, tree.expression))
        return Connective(BOOLEAN, Known(), left.position, word, left, right)

    def between(self, tree: exp.Between) -> Node:
        nodes = [self.read(tree.args[part]) for part in ("this", "low", "high")]
        rules.comparable("between", *nodes)
        return rules.condition("{0} between {1} and {2}", *nodes)

    def in_(self, tree: exp.In) -> Node:
        node, listed = self.read(tree.this), [self.read(item) for item in tree.expressions]
        for item in listed:
            if not isinstance(item, Constant):
                rules.refuse(item, "`in` takes literals", "write a = b or a = c")
        rules.comparable("in", node, *listed)
        places = ", ".join(f"{{{n + 1}}}" for n in range(len(listed)))
        return rules.condition(f"{{0}} in ({places})", node, *listed)

    def like(self, tree: exp.Binary) -> Node:
        word = "like" if isinstance(tree, exp.Like) else "ilike"
        node = rules.like(self.read(tree.this), self.read(tree.expression), word)
        return rules.condition("not {0}", node) if tree.args.get("negate") else node

    def matches(self, tree: exp.RegexpLike) -> Node:
        return rules.matches(self.read(tree.this), self.read(tree.expression))

    def case(self, tree: exp.Case) -> Node:
        of = self.read(tree.this) if tree.this is not None else None
        conditions = [self._condition(branch.this, of) for branch in tree.args["ifs"]]
        results = [self.read(branch.args["true"]) for branch in tree.args["ifs"]]
        default = tree.args.get("default")
        otherwise = self.read(default) if default is not None else None
        kind, known = rules.unified([*results, *([otherwise] if otherwise is not None else [])], "`case`")
        whens = tuple(zip(conditions, (rules.typed(result, kind) for result in results), strict=True))
        position = min(node.position for node in [*conditions, *results])
        return Case(kind, known, position, whens, rules.typed(otherwise, kind) if otherwise is not None else None, of)

    def _condition(self, tree: exp.Expr, of: Node | None) -> Node:
        node = self.read(tree)
        if of is None:
            return rules.boolean(node, "`when`")
        rules.comparable("case", of, node)
        return node

    def cast(self, tree: exp.Cast) -> Node:
        to = tree.args["to"].this
        if isinstance(tree.this, exp.Literal):
            lexeme = self._lexeme(tree.this.name)
            if to not in LITERAL_TYPES:
                raise ExpressionRefused(
                    lexeme.position, "a cast binds to the text alone", "put parentheses around the literal"
                )
            return rules.moment_constant(text_constant(lexeme.text, lexeme.position), LITERAL_TYPES[to])
        casts = {exp.DType.TEXT: rules.as_text, exp.DType.DECIMAL: rules.as_numeric, exp.DType.DATE: rules.as_date}
        node = self.read(tree.this)
        if to not in casts or tree.args["to"].expressions:
            rules.refuse(node, "no such cast", "only ::text, ::numeric and ::date")
        return casts[to](node)

    def extract(self, tree: exp.Extract) -> Node:
        if not isinstance(tree.this, exp.Var):
            raise ExpressionRefused(self._place(tree), "extract without its field", "write extract(year from x)")
        lexeme = self._lexeme(tree.this.name)
        return functions.extract(lexeme.text, lexeme.position, self.read(tree.expression))

    def at_zone(self, tree: exp.AtTimeZone) -> Node:
        return rules.at_zone(self.read(tree.this), self.read(tree.args["zone"]))

    def call(self, tree: exp.Anonymous) -> Node:
        lexeme = self._lexeme(tree.name)
        args = tuple(self.read(operand) for operand in tree.expressions)
        return functions.FUNCTIONS[lexeme.text](args, lexeme.position)


BOTH = {"this", "expression"}
# class -> its reader, and the parts that it may have
READERS: dict[type[exp.Expr], tuple[Callable[[_Reader, Any], Node], set[str]]] = {
    exp.Column: (_Reader.leaf, {"this"}),
    exp.Paren: (_Reader.paren, {"this"}),
    exp.Neg: (_Reader.negative, {"this"}),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Mod), (_Reader.arithmetic, BOTH)),
    exp.Div: (_Reader.arithmetic, BOTH | {"typed", "safe"}),
    exp.DPipe: (_Reader.joined, BOTH | {"safe"}),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), (_Reader.compare, BOTH)),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), (_Reader.distinct, BOTH)),
    exp.Is: (_Reader.is_, BOTH | {"negate"}),
    exp.Not: (_Reader.not_, {"this"}),
    **dict.fromkeys((exp.And, exp.Or), (_Reader.connective, BOTH)),
    exp.Between: (_Reader.between, {"this", "low", "high"}),
    exp.In: (_Reader.in_, {"this", "expressions"}),
    **dict.fromkeys((exp.Like, exp.ILike), (_Reader.like, BOTH | {"negate"})),
    exp.RegexpLike: (_Reader.matches, BOTH),
    exp.Case: (_Reader.case, {"this", "ifs", "default"}),
    exp.Cast: (_Reader.cast, {"this", "to"}),
    exp.Extract: (_Reader.extract, BOTH),
    exp.AtTimeZone: (_Reader.at_zone, {"this", "zone"}),
    exp.Anonymous: (_Reader.call, {"this", "expressions"}),
}
