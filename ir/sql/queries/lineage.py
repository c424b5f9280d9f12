"""Follows columns that hold cells of text files through a query: which it passes on, and which it needs the values of.

Every name is looked up in its scope, so a column is followed through subqueries, CTEs, joins, UNION and other names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlglot import exp

from headrace.ir.sql.queries.functions import AGGREGATES
from headrace.ir.sql.queries.operands import COMPARED, Use, is_bare, is_extreme, name_of, operands
from headrace.ir.sql.queries.relations import NO_CELL, OTHERS, Column, Entry, Kind, Relation, Scope, Visible

_FOUND = "headrace_column"
"""The key in a node's `meta` of its place in `Lineage.columns`."""
_MADE = "headrace_relation"


class Lineage:
    """The columns of a query, found at once. `cells` are the columns of the input that hold cells, as written; `others`
    are the other columns in the order of the table, None if they are not known.

    `result` are the columns of its result. `undecided` says in words what could not be followed."""

    def __init__(self, tree: exp.Query, cells: Collection[str], columns: Sequence[str] | None = None) -> None:
        self.base = {name.lower(): Column(Kind.INPUT, name=name.lower()) for name in cells}
        listed: list[Entry] = [(name, self.base.get(name.lower(), NO_CELL)) for name in columns or cells]
        self._input = Relation(tuple(listed if columns is not None else [*listed, OTHERS]))
        self._columns: list[Column] = []
        self._relations: list[Relation] = []
        self.undecided: list[str] = []
        self.result = self._query(tree, {}, None)

    def column_of(self, node: exp.Expr) -> Column:
        """The column that a name or a subquery means."""
        place = node.meta.get(_FOUND)
        return NO_CELL if place is None else self._columns[place]

    def relation_of(self, node: exp.Expr) -> Relation:
        """The result of a query inside the query."""
        place: int = node.meta[_MADE]
        return self._relations[place]

    def _keep(self, node: exp.Expr, column: Column) -> Column:
        node.meta[_FOUND] = len(self._columns)
        self._columns.append(column)
        return column

    def _made(self, node: exp.Expr, relation: Relation) -> Relation:
        node.meta[_MADE] = len(self._relations)
        self._relations.append(relation)
        return relation

    def _query(self, node: exp.Expr, visible: Visible, outer: Scope | None) -> Relation:
        """The result of a query, also one in parentheses."""
        visible = self._with(node, visible, outer)
        match node:
            case exp.Subquery():
                relation = self._query(node.this, visible, outer)
                self._order_of_result(node, relation)
            case exp.SetOperation():
                relation = self._set_operation(node, visible, outer)
                self._order_of_result(node, relation)
            case _:
                relation = self._select(node, visible, outer)
        return self._made(node, relation)

    def _with(self, node: exp.Expr, visible: Visible, outer: Scope | None) -> Visible:
        known = dict(visible)
        if (given := node.args.get("with_")) is not None:
            for cte in given.expressions:
                found = self._query(cte.this, known, outer).distinct_names()
                known[cte.alias.lower()] = self._renamed(found, cte.args["alias"])
        return known

    def _renamed(self, relation: Relation, alias: exp.Expr | None) -> Relation:
        names = [each.name for each in (alias.args.get("columns") if alias is not None else None) or ()]
        if not names:
            return relation
        if (found := relation.renamed(names)) is not None:
            return found
        for _, column in relation.entries:  # their names are not known until all columns are
            column.make_text()
        return Relation((OTHERS,))

    def _set_operation(self, node: exp.SetOperation, visible: Visible, outer: Scope | None) -> Relation:
        left, right = self._query(node.this, visible, outer), self._query(node.expression, visible, outer)
        if node.args.get("by_name"):
            return _by_name(left, right)
        if [name for name, _ in left.entries].count(None) == 0 == [name for name, _ in right.entries].count(None):
            pairs = [(name, a, b) for (name, a), (_, b) in zip(left.entries, right.entries, strict=False)]
        elif [each for each, _ in left.entries] == [each for each, _ in right.entries]:
            pairs = [(name, a, b) for (name, a), (_, b) in zip(left.entries, right.entries, strict=True)]
        else:
            for _, column in (*left.entries, *right.entries):
                column.make_text()
            return Relation((OTHERS,))
        return Relation(tuple((name, merged(a, b)) for name, a, b in pairs))

    def _select(self, node: exp.Expr, visible: Visible, outer: Scope | None) -> Relation:
        scope = Scope(outer)
        if (given := node.args.get("from_")) is not None:
            self._source(given.this, scope, visible)
        for join in node.args.get("joins") or ():
            self._join(join, scope, visible)
        entries: list[Entry] = []
        for item in node.expressions:
            entries += self._item(item, scope, visible)
        self._expression(node.args.get("where"), Use.VALUE, scope, visible)  # may name what the SELECT makes
        self._group(node, scope, visible)
        for clause in ("having", "qualify"):
            self._expression(node.args.get(clause), Use.VALUE, scope, visible, having=clause == "having")
        for window in node.args.get("windows") or ():
            self._expression(window, Use.VALUE, scope, visible)
        if (distinct := node.args.get("distinct")) is not None and distinct.args.get("on") is not None:
            for each in distinct.args["on"].expressions:
                self._expression(each, Use.GROUPED, scope, visible)
        relation = Relation(tuple(entries))
        self._order(node, relation, scope, visible)
        return relation

    def _source(self, node: exp.Expr, scope: Scope, visible: Visible) -> str:
        """Adds a table to the scope, and the ones joined to it in parentheses. The alias."""
        name = node.name.lower()
        alias = (node.alias or node.name).lower()
        if isinstance(node, exp.Table):
            relation = visible.get(name, self._input)
        elif isinstance(node.this, exp.Query) and not isinstance(node.this, exp.Table):
            relation = self._query(node, visible, scope).distinct_names()
        else:
            inside = Scope(scope) if node.alias else scope
            alias = self._source(node.this, inside, visible)
            relation = Relation(tuple(inside.star())).distinct_names() if node.alias else scope.sources[alias]
            alias = node.alias.lower() or alias
        alias = alias or f"\0{len(scope.sources)}"
        scope.sources[alias] = self._renamed(relation, node.args.get("alias"))
        for join in node.args.get("joins") or ():
            self._join(join, scope, visible)
        return alias

    def _join(self, join: exp.Join, scope: Scope, visible: Visible) -> None:
        before = dict(scope.sources)
        alias = self._source(join.this, scope, visible)
        names = [each.name for each in join.args.get("using") or ()]
        if join.method.upper() == "NATURAL":
            there = {(name or "").lower() for relation in before.values() for name, _ in relation.entries}
            names = [name for name, _ in scope.sources[alias].entries if name is not None and name.lower() in there]
        for name in names:
            self._using(name.lower(), before, alias, join, scope)
        if names and join.method.upper() == "ASOF" and scope.merged.get(names[-1].lower(), NO_CELL).cells:
            self.undecided.append(f"'{names[-1]}' is compared by USING in an ASOF join")
        self._expression(join.args.get("on"), Use.VALUE, scope, visible)
        if join.kind.upper() in ("SEMI", "ANTI"):
            del scope.sources[alias]

    def _using(self, name: str, before: Visible, alias: str, join: exp.Join, scope: Scope) -> None:
        left = scope.merged.get(name) or next((c for r in before.values() if (c := r.find(name)) is not None), NO_CELL)
        right = scope.sources[alias].find(name) or NO_CELL
        if not (left.cells or right.cells):
            return
        if not (left.cells and right.cells):
            if all(r.complete for r in (*before.values(), scope.sources[alias])):
                self.undecided.append(f"'{name}' of USING is a cell on one side only")
        elif right is not left:
            left.mates.append(right)
            right.mates.append(left)
        scope.merged[name] = merged(left, right) if join.side.upper() in ("FULL", "RIGHT") else left

    def _item(self, item: exp.Expr, scope: Scope, visible: Visible) -> Iterator[Entry]:
        star = item.this if isinstance(item, exp.Column) and isinstance(item.this, exp.Star) else item
        if isinstance(star, exp.Star):
            yield from self._star(item, star, scope, visible)
            return
        name = item.alias if isinstance(item, exp.Alias) else plain_name(item)
        column = self._keep(item, self._projected(item, scope, visible))
        scope.aliases.setdefault(name.lower(), column) if isinstance(item, exp.Alias) else None
        yield name, column

    def _star(self, item: exp.Expr, star: exp.Star, scope: Scope, visible: Visible) -> Iterator[Entry]:
        table = item.text("table").lower()
        left_out = {each.name.lower() for each in star.args.get("except_") or ()}
        replaced: dict[str, Column] = {}
        for each in star.args.get("replace") or ():
            replaced[each.alias.lower()] = self._keep(each, self._projected(each, scope, visible))
        for name, column in scope.star([table] if table else None):
            if name is None or name.lower() not in left_out:
                yield name, replaced.get((name or "").lower(), column)

    def _projected(self, item: exp.Expr, scope: Scope, visible: Visible) -> Column:
        parts, mixed = self._expression(item, Use.PASSED, scope, visible)
        found = tuple(dict.fromkeys(part for part in parts if part.cells))
        if not found:
            return Column(Kind.MADE)
        return Column(Kind.BARE if is_bare(item) else Kind.MADE, found, mixed=mixed)

    def _group(self, node: exp.Expr, scope: Scope, visible: Visible) -> None:
        if (group := node.args.get("group")) is None:
            return
        for each in group.expressions:
            self._expression(each, Use.GROUPED, scope, visible)
        scope.grouped = frozenset(each.name.lower() for each in group.expressions if isinstance(each, exp.Column))

    def _order(self, node: exp.Expr, relation: Relation, scope: Scope, visible: Visible) -> None:
        for each in node.args["order"].expressions if node.args.get("order") is not None else ():
            if (columns := ordered_by(each.this, relation)) is not None:
                for column in columns:
                    column.want()
            elif isinstance(each.this, exp.Column):
                self._keep(each.this, self._find(each.this, scope, alias_first=True)).want()
            else:
                self._expression(each.this, Use.VALUE, scope, visible)

    def _order_of_result(self, node: exp.Expr, relation: Relation) -> None:
        """The ORDER BY of a set operation, which sees its result only."""
        scope = Scope(sources={"": relation})
        self._order(node, relation, scope, {})

    def _find(self, node: exp.Column, scope: Scope, *, alias_first: bool = False) -> Column:
        column = scope.find(node.name.lower(), node.table.lower(), alias_first=alias_first)
        if column is None:
            self.undecided.append(f"'{node.name}' is not found")
        return column or NO_CELL

    def _expression(
        self, node: exp.Expr | None, use: Use, scope: Scope, visible: Visible, *, having: bool = False
    ) -> tuple[list[Column], bool]:
        """Follows an expression. The columns that it passes on, and whether its result is something else in some
        row."""
        if node is None or isinstance(node, exp.Null):
            return [], False
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            first = having and node.name.lower() not in scope.grouped
            return self._used(self._keep(node, self._find(node, scope, alias_first=first)), use)
        if isinstance(node, exp.Subquery):
            column = self._query(node, visible, scope).at(0) or NO_CELL
            return self._used(self._keep(node, column), use)
        if isinstance(node, exp.Exists | exp.Query):
            self._query(node.this if isinstance(node, exp.Exists) else node, visible, scope)
            return [], True
        asked = node.args.get("query") if isinstance(node, exp.In) else None
        if asked is not None:
            for _, column in self._query(asked, visible, scope).entries:
                column.want()
        parts: list[Column] = []
        mixed, passes = False, False
        having = having and name_of(node) not in AGGREGATES
        for each, how in operands(node):
            if each is asked:
                continue
            taken = use if how is Use.PASSED else how
            found, other = self._expression(each, taken, scope, visible, having=having)
            if how is Use.PASSED:
                parts, mixed, passes = [*parts, *found], mixed or other, True
        if use is Use.PASSED and _compares(node):
            for column in parts:
                column.want()
        return parts, mixed or not passes

    def _used(self, column: Column, use: Use) -> tuple[list[Column], bool]:
        if use is Use.VALUE:
            column.want()
        elif use is Use.TEXT:
            column.make_text()
        return ([column], False) if column.cells else ([], True)


def merged(left: Column, right: Column) -> Column:
    """The column that two columns become."""
    parts = tuple(each for each in (left, right) if each.cells)
    return Column(Kind.MERGED, parts, mixed=len(parts) < 2) if parts else NO_CELL


def ordered_by(node: exp.Expr, relation: Relation) -> list[Column] | None:
    """The columns of the result that ORDER BY ALL, or by a place, orders by; None for anything else."""
    if isinstance(node, exp.Var):
        return [column for _, column in relation.entries]
    if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
        column = relation.at(int(node.name) - 1) if int(node.name) > 0 else None
        return [column] if column is not None else []
    return None


def plain_name(item: exp.Expr) -> str:
    """The name of a column of a result that has no alias."""
    return item.name if isinstance(item, exp.Column) else item.sql(dialect="duckdb").lower().replace('"', "")


def _compares(node: exp.Expr) -> bool:
    """Whether a node that passes operands on chooses by their values."""
    return is_extreme(node) or name_of(node) in COMPARED or name_of(node) == "nullif"


def _by_name(left: Relation, right: Relation) -> Relation:
    entries: list[Entry] = []
    for name, column in left.entries:
        other = None if name is None else right.find(name.lower())
        entries.append((name, column if other is None else merged(column, other)))
    have = {name.lower() for name, _ in left.entries if name is not None}
    missing = [(name, column) for name, column in right.entries if name is not None and name.lower() not in have]
    unknown = [OTHERS] if not right.complete and left.complete else []
    return Relation((*entries, *missing, *unknown))
