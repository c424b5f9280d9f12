"""Rewrites a query over cells of text files, so that it returns the cells that it passes on as they are written.

A column whose values the query needs comes as a structure of the value and the text. It is passed on as one, through
subqueries and joins. Where a value is needed, the value is taken out of it, and where text is made, the text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlglot import exp

from headrace.ir.sql.errors import PAIR, Refused, undecided
from headrace.ir.sql.queries.lineage import Lineage, ordered_by, plain_name
from headrace.ir.sql.queries.operands import COMPARED, EXTREMES, Use, is_bare, is_extreme, makes_text, name_of, operands
from headrace.ir.sql.queries.relations import Column, Kind, Relation

VALUE, TEXT = PAIR
MOST_QUERIES = 400
"""The most queries that the rewritten query has."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The query, and the columns of the input that it takes as structures, in lower case."""

    tree: exp.Query
    paired: frozenset[str]


def as_written(
    tree: exp.Query, cells: Collection[str], valued: Collection[str], columns: Sequence[str], names: Sequence[str]
) -> Rewritten:
    """The rewritten query. `cells` are the columns that hold cells, `valued` those of them that have values, `columns`
    all columns of the input in order. `names` are those of the result where they are known. Raises Refused where the
    meaning of a name cannot be decided."""
    copied = tree.copy()
    found = Lineage(copied, cells, columns)
    paired = frozenset(name.lower() for name in valued if found.base[name.lower()].wanted)
    if not paired:
        return Rewritten(tree, paired)
    if found.undecided:
        raise undecided(found.undecided[0], sorted(paired))
    made = _Rewriter(found, paired, names).query(copied, root=True)
    assert isinstance(made, exp.Query)
    return Rewritten(made, paired)


class _Rewriter:
    def __init__(self, lineage: Lineage, paired: frozenset[str], names: Sequence[str]) -> None:
        self._lineage, self._paired, self._names = lineage, paired, names
        self._queries = 0

    def query(self, node: exp.Expr, *, root: bool = False) -> exp.Expr:
        """Rewrites a query in its place in the tree; the node that replaces it."""
        self._queries += 1
        if self._queries > MOST_QUERIES:  # what a value and a text are made of is repeated
            raise self._undecided("its subqueries are nested too deeply")
        relation = self._lineage.relation_of(node)
        if (given := node.args.get("with_")) is not None:
            for cte in given.expressions:
                cte.set("this", self.query(cte.this))
        if isinstance(node, exp.Subquery):
            node.set("this", self.query(node.this))
            return self._ordered(node, relation)
        if isinstance(node, exp.SetOperation):
            for side in ("this", "expression"):
                part = self._lineage.relation_of(node.args[side])
                node.set(side, self._coerced(self.query(node.args[side]), part, relation, node))
            return self._ordered(node, relation)
        assert isinstance(node, exp.Select)
        return self._select(node, relation, root=root)

    def is_paired(self, column: Column) -> bool:
        """Whether a column comes as a structure."""
        match column.kind:
            case Kind.INPUT:
                return column.name in self._paired and column.wanted
            case Kind.BARE:
                return self.is_paired(column.parts[0])
            case Kind.MERGED if not column.wanted:
                return not column.mixed and all(map(self.is_paired, column.parts))
        return column.wanted and any(map(self.is_paired, column.parts))

    def _select(self, node: exp.Select, relation: Relation, *, root: bool) -> exp.Expr:
        for table in ("from_", "joins"):
            given = node.args.get(table)
            for each in given if isinstance(given, list) else [given] if given is not None else []:
                self._source(each.this)
                self._join(each)
        originals = [each.copy() for each in node.expressions]
        others = " ".join(node.args[each].sql() for each in ("having", "qualify", "order") if node.args.get(each))
        for clause in ("where", "having", "qualify"):
            if node.args.get(clause) is not None:
                node.set(clause, self._form(node.args[clause], Use.VALUE))
        for window in node.args.get("windows") or ():
            self._operands(window, Use.VALUE)
        if (on := (node.args.get("distinct") or exp.Null()).args.get("on")) is not None:
            self._operands(on, Use.GROUPED)
        if (group := node.args.get("group")) is not None:
            self._group(group, originals, others)
        node = self._reordered(node, relation, originals)
        node.set("expressions", [self._item(each, place, root=root) for place, each in enumerate(node.expressions)])
        return self._ordered(node, relation) if node.args.get("distinct") is not None and on is None else node

    def _source(self, node: exp.Expr) -> None:
        if isinstance(node, exp.Subquery):
            if isinstance(node.this, exp.Query) and not isinstance(node.this, exp.Table):
                node.set("this", self.query(node.this))
                if node.args.get("order") is not None and any(map(self.is_paired, self._columns(node))):
                    raise self._undecided("a table in FROM is ordered outside of its parentheses")
            else:
                self._source(node.this)
        for join in node.args.get("joins") or ():
            self._source(join.this)
            self._join(join)

    def _join(self, node: exp.Expr) -> None:
        if node.args.get("on") is not None:
            node.set("on", self._form(node.args["on"], Use.VALUE))

    def _columns(self, node: exp.Expr) -> list[Column]:
        return [column for _, column in self._lineage.relation_of(node).entries]

    def _item(self, item: exp.Expr, place: int, *, root: bool) -> exp.Expr:
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star):
            star.set("replace", [self._item(each, -1, root=False) for each in star.args.get("replace") or ()] or None)
            return item
        made = self._made(item)
        if made is item or isinstance(item, exp.Alias):
            return made
        known = self._names[place] if root and len(self._names) > place else plain_name(item)
        return exp.alias_(made, known, quoted=True)

    def _made(self, item: exp.Expr) -> exp.Expr:
        """An expression that makes a column."""
        inner = item.this if isinstance(item, exp.Alias) else item
        column = self._lineage.column_of(item)
        if is_bare(item) or not self._has_cells(inner):
            made = self._form(inner, Use.PASSED)
        elif not self.is_paired(column):
            made = self._text(inner)
        else:
            made = _pair(self._form(inner.copy(), Use.VALUE), self._text(inner.copy()))
        if isinstance(item, exp.Alias):
            item.set("this", made)
            return item
        return made

    def _group(self, group: exp.Expr, items: Sequence[exp.Expr], others: str) -> None:
        """The keys of GROUP BY: texts, and also values where the query has the same expression elsewhere (`others`: the
        SQL of its other clauses)."""
        keys: list[exp.Expr] = []
        for each in group.expressions:
            if is_bare(each) or not self._has_cells(each):
                keys.append(self._form(each, Use.GROUPED))
                continue
            plain = each.sql()
            made = [(item, item.this.sql() if isinstance(item, exp.Alias) else item.sql()) for item in items]
            paired = any(self.is_paired(self._lineage.column_of(item)) for item, sql in made if sql == plain)
            keys.append(self._text(each.copy()))
            if paired or plain in others or any(plain in sql and plain != sql for _, sql in made):
                keys.append(self._form(each.copy(), Use.VALUE))
        group.set("expressions", keys)

    def _reordered(self, node: exp.Select, relation: Relation, items: Sequence[exp.Expr]) -> exp.Select:
        """ORDER BY of a SELECT, where it may name anything: by values."""
        order = node.args.get("order")
        distinct = node.args.get("distinct")
        if order is None or (distinct is not None and distinct.args.get("on") is None):
            return node
        made = {each.alias.lower(): each.this for each in items if isinstance(each, exp.Alias)}
        for each in [*order.expressions]:
            columns = ordered_by(each.this, relation)
            if columns is None:
                of_item = made.get(each.this.name.lower()) if isinstance(each.this, exp.Column) else None
                if of_item is None or each.this.table or not self._has_cells(of_item):
                    each.set("this", self._form(each.this, Use.VALUE))
                elif self.is_paired(self._lineage.column_of(each.this)) or not is_bare(of_item):
                    each.set("this", self._form(of_item.copy(), Use.VALUE))
            elif any(map(self.is_paired, columns)):
                places = range(len(columns)) if isinstance(each.this, exp.Var) else [int(each.this.name) - 1]
                each.replace([self._ordered_place(each, place, relation, items) for place in places])
        return node

    def _ordered_place(self, each: exp.Expr, place: int, relation: Relation, items: Sequence[exp.Expr]) -> exp.Expr:
        made = each.copy()
        column = relation.entries[place][1]
        if not self.is_paired(column):
            made.set("this", exp.Literal.number(place + 1))
        elif len(items) == len(relation.entries):
            item = items[place]
            made.set("this", self._form((item.this if isinstance(item, exp.Alias) else item).copy(), Use.VALUE))
        else:
            made.set("this", _field(exp.column(relation.entries[place][0] or "", quoted=True), VALUE))
        return made

    def _ordered(self, node: exp.Expr, relation: Relation) -> exp.Expr:
        """A query whose ORDER BY sees its result only: by values, around the query."""
        order = node.args.get("order")
        if order is None:
            return node
        wanted: list[exp.Expr] = []
        changed = foreign = False
        for each in order.expressions:
            columns = ordered_by(each.this, relation)
            if columns == []:
                listed = []
            elif columns is None and isinstance(node, exp.Select) and not self._is_of_result(each.this, relation):
                made = each.copy()
                made.set("this", self._form(made.this, Use.VALUE))
                foreign |= made.sql() != each.sql()
                wanted.append(made)
                continue
            elif columns is not None:
                one = not isinstance(each.this, exp.Var)
                listed = [*relation.entries] if not one else [relation.entries[int(each.this.name) - 1]]
            elif isinstance(each.this, exp.Column):
                name = each.this.name.lower()
                listed = [entry for entry in relation.entries if (entry[0] or "").lower() == name][:1]
                if not listed:
                    raise self._undecided(f"it is ordered by '{each.this.name}', which is no column of its result")
            else:
                listed = []
            for column_name, column in listed:
                paired = self.is_paired(column)
                changed |= paired
                made, by = each.copy(), exp.column(column_name or "", quoted=True)
                made.set("this", _field(by, VALUE) if paired else by)
                wanted.append(made)
            wanted += [] if listed else [each.copy()]
        if foreign and not changed:
            order.set("expressions", wanted)
        elif foreign:
            raise self._undecided("DISTINCT is ordered by what it does not select")
        if not changed:
            return node
        outer = exp.Select(expressions=[exp.Star()])
        for clause in ("limit", "offset"):
            if node.args.get(clause) is not None:
                outer.set(clause, node.args[clause].copy())
                node.set(clause, None)
        node.set("order", None)
        outer.set("order", exp.Order(expressions=wanted))
        inner = node.copy() if isinstance(node, exp.Subquery) else exp.Subquery(this=node.copy())
        inner.set("alias", exp.TableAlias(this=_name("__rows")))
        outer.set("from_", exp.From(this=inner))
        return exp.Subquery(this=outer) if isinstance(node, exp.Subquery) else outer

    def _is_of_result(self, node: exp.Expr, relation: Relation) -> bool:
        return isinstance(node, exp.Column) and relation.find(node.name.lower()) is not None

    def _coerced(self, node: exp.Expr, part: Relation, whole: Relation, over: exp.SetOperation) -> exp.Expr:
        """A part of a set operation, with columns that are structures where those of the whole are."""
        by_name = bool(over.args.get("by_name"))
        made: list[exp.Expr] = []
        changed = False
        for place, (name, column) in enumerate(part.entries):
            value: exp.Expr = exp.Column(this=_name(f"c{place}"))
            to = whole.find((name or "").lower()) if by_name else whole.at(place)
            wants, has = to is not None and self.is_paired(to), self.is_paired(column)
            changed |= wants != has
            if wants and not has:
                value = _pair(value, _cast(value.copy()))
            elif has and not wants:
                value = _field(value, TEXT)
            elif to is not None and to.kind is Kind.MERGED and not has and bool(to.cells) and not column.cells:
                value = _cast(value)
                changed = True
            made.append(exp.alias_(value, name or "", quoted=True))
        if not changed:
            return node
        inner = node.copy() if isinstance(node, exp.Subquery) else exp.Subquery(this=node.copy())
        return exp.Select(expressions=made, from_=exp.From(this=_numbered(inner, len(made))))

    def _form(self, node: exp.Expr, use: Use) -> exp.Expr:
        """An expression for a use."""
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            return self._leaf(node, self._lineage.column_of(node), use)
        if isinstance(node, exp.Subquery):
            return self._leaf(self.query(node), self._lineage.column_of(node), use)
        if isinstance(node, exp.Exists):
            node.set("this", self.query(node.this))
            return node
        if use is Use.TEXT and not makes_text(node) and self._has_cells(node):
            return self._text(node)
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            node.set("query", self._looked_up(node.args["query"]))
        self._operands(node, use)
        return node

    def _operands(self, node: exp.Expr, use: Use) -> None:
        for each, how in [*operands(node)]:
            if each.arg_key == "query" and isinstance(node, exp.In):
                continue
            made = self._form(each, use if how is Use.PASSED else how)
            if made is not each:
                each.replace(made)

    def _leaf(self, node: exp.Expr, column: Column, use: Use) -> exp.Expr:
        if not self.is_paired(column) or use in (Use.PASSED, Use.GROUPED):
            return node
        return _field(node.copy(), VALUE if use is Use.VALUE else TEXT)

    def _looked_up(self, node: exp.Expr) -> exp.Expr:
        """The query of IN, with values."""
        columns = self._columns(node)
        made = self.query(node)
        if not any(map(self.is_paired, columns)):
            return made
        listed: list[exp.Expr] = []
        for place, column in enumerate(columns):
            value = exp.Column(this=_name(f"c{place}"))
            listed.append(_field(value, VALUE) if self.is_paired(column) else value)
        inner = made.copy() if isinstance(made, exp.Subquery) else exp.Subquery(this=made.copy())
        return exp.Subquery(this=exp.Select(expressions=listed, from_=exp.From(this=_numbered(inner, len(listed)))))

    def _text(self, node: exp.Expr) -> exp.Expr:
        """An expression whose result is a cell in some row, as text in all."""
        if isinstance(node, exp.Column | exp.Subquery):
            column = self._lineage.column_of(node)
            made = self._form(node, Use.TEXT)
            return made if column.cells else _cast(made)
        if name_of(node) in COMPARED and self._has_cells(node):
            return self._compared(node)
        if name_of(node) == "nullif" and self._has_cells(node):
            return self._null_if(node)
        if not self._has_cells(node):
            made = self._form(node, Use.VALUE)
            return made if makes_text(made) else _cast(made)
        if is_extreme(node):
            value = self._form(node.expressions[0].copy(), Use.VALUE)
            text = self._text(node.expressions[0].copy())
            if text.sql() != value.sql():
                return exp.Anonymous(this=EXTREMES[name_of(node)], expressions=[text, value])
        for each, how in [*operands(node)]:
            made = self._text(each) if how is Use.PASSED else self._form(each, how)
            if made is not each:
                each.replace(made)
        return node

    def _compared(self, node: exp.Expr) -> exp.Expr:
        """GREATEST or LEAST."""
        values = [self._form(each.copy(), Use.VALUE) for each in node.expressions]
        best = exp.Anonymous(this=name_of(node), expressions=[each.copy() for each in values])
        ifs = [
            exp.If(this=exp.EQ(this=exp.paren(value, copy=False), expression=best.copy()), true=self._text(each.copy()))
            for value, each in zip(values, node.expressions, strict=True)
        ]
        return exp.Case(ifs=ifs)

    def _null_if(self, node: exp.Expr) -> exp.Expr:
        first, second = (each.copy() for each in node.expressions)
        same = exp.EQ(
            this=exp.paren(self._form(first.copy(), Use.VALUE), copy=False),
            expression=exp.paren(self._form(second, Use.VALUE), copy=False),
        )
        return exp.Case(ifs=[exp.If(this=same, true=exp.Null())], default=self._text(first))

    def _has_cells(self, node: exp.Expr) -> bool:
        """Whether the result of an expression is a cell in some row."""
        if isinstance(node, exp.Column | exp.Subquery):
            return bool(self._lineage.column_of(node).cells)
        return any(how is Use.PASSED and self._has_cells(each) for each, how in operands(node))

    def _undecided(self, why: str) -> Refused:
        return undecided(why, sorted(self._paired))


def _name(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _field(value: exp.Expr, name: str) -> exp.Expr:
    return exp.Anonymous(this="struct_extract", expressions=[value, exp.Literal.string(name)])


def _cast(value: exp.Expr) -> exp.Expr:
    return exp.Cast(this=value.copy(), to=exp.DataType.build("VARCHAR"))


def _pair(value: exp.Expr, text: exp.Expr) -> exp.Expr:
    """The structure of a value and its text; null where there is no text."""
    fields = [(VALUE, value), (TEXT, text)]
    made = exp.Struct(expressions=[exp.PropertyEQ(this=_name(name), expression=each.copy()) for name, each in fields])
    missing = exp.Is(this=exp.paren(text, copy=True), expression=exp.Null())
    return exp.Case(ifs=[exp.If(this=missing, true=exp.Null())], default=made)


def _numbered(inner: exp.Expr, count: int) -> exp.Expr:
    """A query as a table whose columns are c0, c1, …"""
    names = [_name(f"c{place}") for place in range(count)]
    inner.set("alias", exp.TableAlias(this=_name("__part"), columns=names))
    return inner
