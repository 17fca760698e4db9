"""A syntax tree as text, the same on every Python that runs megbuild, and valid for the older ones of the toolchains.

``ast.unparse`` is neither: its layout changed in 3.11 and its strings in 3.12, where it puts quotes into f-strings
that Python 3.9 cannot read. What is staged is an input of every key, so megbuild prints trees itself: one layout,
parentheses wherever they could matter, and the syntax of Python 3.9 only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.MatMult: "@",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BitAnd: "&",
}
_UNARY: dict[type[ast.unaryop], str] = {ast.Invert: "~", ast.Not: "not ", ast.UAdd: "+", ast.USub: "-"}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_OPERATIONS = (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp, ast.IfExp)
_QUOTES = ("'", '"', "'''", '"""')
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SPECIAL = re.compile("[\\x00-\\x1f\\x7f\\\\'\"\\ud800-\\udfff]")
"""What may have to be escaped in a string."""
_INDENT = "    "


class Unprintable(Exception):
    """The tree holds something that Python 3.9 has no syntax for."""


def printed(tree: ast.Module) -> str:
    """The text of a module, which parses to the same tree.

    :raises Unprintable: for syntax that is newer than the toolchains' Python.
    """
    return "".join(f"{line}\n" for line in _block(tree.body, ""))


# statements: lines


def _block(body: Sequence[ast.stmt], indent: str) -> Iterator[str]:
    for statement in body:
        compound = _COMPOUND.get(type(statement))
        if compound:
            yield from compound(statement, indent)
        else:
            yield indent + _simple(statement)


def _simple(node: ast.stmt) -> str:
    try:
        return _SIMPLE[type(node)](node)
    except KeyError:
        raise Unprintable(type(node).__name__) from None


def _assign(node: ast.Assign) -> str:
    return "".join(f"{_expression(target)} = " for target in node.targets) + _free(node.value)


def _annotated(node: ast.AnnAssign) -> str:
    target = _expression(node.target)
    if isinstance(node.target, ast.Name) and not node.simple:
        target = f"({target})"
    return f"{target}: {_free(node.annotation)}" + (f" = {_free(node.value)}" if node.value else "")


def _raise(node: ast.Raise) -> str:
    return "raise" + (f" {_free(node.exc)}" if node.exc else "") + (f" from {_free(node.cause)}" if node.cause else "")


def _import_from(node: ast.ImportFrom) -> str:
    return f"from {'.' * node.level}{node.module or ''} import {_aliases(node.names)}"


def _aliases(names: Iterable[ast.alias]) -> str:
    return ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in names)


_SIMPLE: dict[type, Callable[..., str]] = {
    ast.Expr: lambda node: _free(node.value),
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: lambda node: f"{_expression(node.target)} {_BINARY[type(node.op)]}= {_free(node.value)}",
    ast.Return: lambda node: f"return {_free(node.value)}" if node.value else "return",
    ast.Delete: lambda node: f"del {', '.join(map(_expression, node.targets))}",
    ast.Raise: _raise,
    ast.Assert: lambda node: f"assert {_free(node.test)}" + (f", {_free(node.msg)}" if node.msg else ""),
    ast.Import: lambda node: f"import {_aliases(node.names)}",
    ast.ImportFrom: _import_from,
    ast.Global: lambda node: f"global {', '.join(node.names)}",
    ast.Nonlocal: lambda node: f"nonlocal {', '.join(node.names)}",
    ast.Pass: lambda node: "pass",
    ast.Break: lambda node: "break",
    ast.Continue: lambda node: "continue",
}


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, indent: str) -> Iterator[str]:
    _refuse_type_parameters(node)
    yield from (f"{indent}@{_expression(decorator)}" for decorator in node.decorator_list)
    word = "def" if isinstance(node, ast.FunctionDef) else "async def"
    result = f" -> {_free(node.returns)}" if node.returns else ""
    yield f"{indent}{word} {node.name}({_parameters(node.args)}){result}:"
    yield from _block(node.body, indent + _INDENT)


def _class(node: ast.ClassDef, indent: str) -> Iterator[str]:
    _refuse_type_parameters(node)
    yield from (f"{indent}@{_expression(decorator)}" for decorator in node.decorator_list)
    arguments = _arguments(node.bases, node.keywords)
    yield f"{indent}class {node.name}{f'({arguments})' if arguments else ''}:"
    yield from _block(node.body, indent + _INDENT)


def _refuse_type_parameters(node: ast.AST) -> None:
    if getattr(node, "type_params", None):
        raise Unprintable("type parameters")


def _if(node: ast.If, indent: str, word: str = "if") -> Iterator[str]:
    yield f"{indent}{word} {_free(node.test)}:"
    yield from _block(node.body, indent + _INDENT)
    if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        yield from _if(node.orelse[0], indent, "elif")
    else:
        yield from _part("else", node.orelse, indent)


def _for(node: ast.For | ast.AsyncFor, indent: str) -> Iterator[str]:
    word = "for" if isinstance(node, ast.For) else "async for"
    yield f"{indent}{word} {_expression(node.target)} in {_free(node.iter)}:"
    yield from _block(node.body, indent + _INDENT)
    yield from _part("else", node.orelse, indent)


def _while(node: ast.While, indent: str) -> Iterator[str]:
    yield f"{indent}while {_free(node.test)}:"
    yield from _block(node.body, indent + _INDENT)
    yield from _part("else", node.orelse, indent)


def _with(node: ast.With | ast.AsyncWith, indent: str) -> Iterator[str]:
    word = "with" if isinstance(node, ast.With) else "async with"
    yield f"{indent}{word} {', '.join(map(_with_item, node.items))}:"
    yield from _block(node.body, indent + _INDENT)


def _with_item(item: ast.withitem) -> str:
    context = _expression(item.context_expr)
    if isinstance(item.context_expr, ast.Tuple):
        context = f"({context})"  # else its elements are taken for several items
    return f"{context} as {_expression(item.optional_vars)}" if item.optional_vars else context


def _try(node: ast.Try, indent: str) -> Iterator[str]:
    yield f"{indent}try:"
    yield from _block(node.body, indent + _INDENT)
    for handler in node.handlers:
        caught = f" {_expression(handler.type)}" if handler.type else ""
        yield f"{indent}except{caught}{f' as {handler.name}' if handler.name else ''}:"
        yield from _block(handler.body, indent + _INDENT)
    yield from _part("else", node.orelse, indent)
    yield from _part("finally", node.finalbody, indent)


def _part(word: str, body: Sequence[ast.stmt], indent: str) -> Iterator[str]:
    if body:
        yield f"{indent}{word}:"
        yield from _block(body, indent + _INDENT)


_COMPOUND: dict[type, Callable[..., Iterator[str]]] = {
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.If: _if,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
}


# expressions: one line each, in parentheses unless they hold together anyway


def _expression(node: ast.expr) -> str:
    try:
        return _EXPRESSION[type(node)](node)
    except KeyError:
        raise Unprintable(type(node).__name__) from None


def _free(node: ast.expr) -> str:
    """An expression where nothing stands beside it that could draw a part of it to itself."""
    text = _expression(node)
    return text[1:-1] if isinstance(node, _OPERATIONS) else text


def _list(nodes: Iterable[ast.expr]) -> str:
    return ", ".join(map(_free, nodes))


def _tuple(node: ast.Tuple) -> str:
    return f"({_free(node.elts[0])},)" if len(node.elts) == 1 else f"({_list(node.elts)})"


def _dict(node: ast.Dict) -> str:
    pairs = zip(node.keys, node.values, strict=True)
    return "{" + ", ".join(f"{_free(k)}: {_free(v)}" if k else f"**{_expression(v)}" for k, v in pairs) + "}"


def _compare(node: ast.Compare) -> str:
    rest = (f" {_COMPARE[type(o)]} {_expression(n)}" for o, n in zip(node.ops, node.comparators, strict=True))
    return f"({_expression(node.left)}{''.join(rest)})"


def _boolean(node: ast.BoolOp) -> str:
    word = " and " if isinstance(node.op, ast.And) else " or "
    return f"({word.join(map(_expression, node.values))})"


def _lambda(node: ast.Lambda) -> str:
    parameters = _parameters(node.args)
    return f"(lambda{' ' if parameters else ''}{parameters}: {_expression(node.body)})"


def _attribute(node: ast.Attribute) -> str:
    owner = _expression(node.value)
    return f"({owner}).{node.attr}" if isinstance(node.value, ast.Constant) else f"{owner}.{node.attr}"


def _subscript(node: ast.Subscript) -> str:
    index = node.slice
    if isinstance(index, ast.Tuple) and any(isinstance(element, ast.Slice) for element in index.elts):
        return f"{_expression(node.value)}[{_tuple(index)[1:-1]}]"
    return f"{_expression(node.value)}[{_free(index)}]"


def _slice(node: ast.Slice) -> str:
    text = f"{_expression(node.lower) if node.lower else ''}:{_expression(node.upper) if node.upper else ''}"
    return f"{text}:{_expression(node.step)}" if node.step else text


def _comprehension(head: str, generators: Iterable[ast.comprehension]) -> str:
    for part in generators:
        head += f" {'async ' if part.is_async else ''}for {_expression(part.target)} in {_expression(part.iter)}"
        head += "".join(f" if {_expression(condition)}" for condition in part.ifs)
    return head


def _arguments(positional: Iterable[ast.expr], keywords: Iterable[ast.keyword]) -> str:
    named = (f"{k.arg}={_free(k.value)}" if k.arg else f"**{_expression(k.value)}" for k in keywords)
    return ", ".join([*map(_free, positional), *named])


def _parameters(arguments: ast.arguments) -> str:
    def one(argument: ast.arg, default: ast.expr | None = None) -> str:
        text = f"{argument.arg}: {_free(argument.annotation)}" if argument.annotation else argument.arg
        return f"{text}={_free(default)}" if default else text

    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + arguments.defaults
    shown = [one(argument, default) for argument, default in zip(plain, defaults, strict=True)]
    if arguments.posonlyargs:
        shown.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        shown.append(f"*{one(arguments.vararg)}")
    elif arguments.kwonlyargs:
        shown.append("*")
    shown += map(one, arguments.kwonlyargs, arguments.kw_defaults)
    if arguments.kwarg:
        shown.append(f"**{one(arguments.kwarg)}")
    return ", ".join(shown)


def _constant(node: ast.Constant) -> str:
    value = node.value
    if value is Ellipsis:
        return "..."
    if isinstance(value, str):
        return (node.kind or "") + f"'{_escaped(value, chr(39))}'"
    text = repr(value)
    return text.replace("inf", "1e309") if isinstance(value, (float, complex)) else text


def _escaped(text: str, quote: str) -> str:
    """Text as it stands between quotes. Which characters are printable changes with Unicode: none is asked for that."""
    return _SPECIAL.sub(lambda found: _escape(found[0], quote), text)


def _escape(character: str, quote: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character in "'\"":
        return f"\\{character}" if character == quote else character
    number = ord(character)
    return f"\\u{number:04x}" if number > 127 else f"\\x{number:02x}"


# f-strings: before 3.12 an expression in one has no backslash, no comment and none of the quotes around it


def _f_string(node: ast.JoinedStr) -> str:
    parts = [_f_part(part) for part in node.values]
    inside = "".join(text for text, is_code in parts if is_code)
    for quote in _QUOTES:
        if quote not in inside:
            return f"f{quote}{''.join(t if is_code else _escaped(t, quote[0]) for t, is_code in parts)}{quote}"
    raise Unprintable("an f-string with every kind of quotes in it")


def _f_part(part: ast.expr) -> tuple[str, bool]:
    """The text of a part, and whether it is code; text is not escaped yet."""
    if isinstance(part, ast.Constant):
        return str(part.value).replace("{", "{{").replace("}", "}}"), False
    if not isinstance(part, ast.FormattedValue):
        raise Unprintable(type(part).__name__)
    code = _requoted(part.value)
    conversion = f"!{chr(part.conversion)}" if part.conversion != -1 else ""
    return f"{{{code}{conversion}{_format(part.format_spec)}}}", True


def _requoted(node: ast.expr) -> str:
    """An expression within an f-string, with the strings in it quoted so that nothing has to be escaped."""
    text = _expression(node)
    if "\\" in text or "#" in text or "\n" in text:
        raise Unprintable("a string within an f-string that needs a backslash")
    return f"({text})" if text.startswith("{") or isinstance(node, ast.Constant) else text


def _format(spec: ast.expr | None) -> str:
    if spec is None:
        return ""
    if not isinstance(spec, ast.JoinedStr):
        raise Unprintable(type(spec).__name__)
    text = ""
    for part in spec.values:
        shown, is_code = _f_part(part)
        if not is_code and shown != _escaped(str(getattr(part, "value", "")), "'"):
            raise Unprintable("a format with braces, quotes or escapes in it")
        text += shown
    return f":{text}"


_EXPRESSION: dict[type, Callable[..., str]] = {
    ast.Name: lambda node: node.id,
    ast.Constant: _constant,
    ast.Attribute: _attribute,
    ast.Call: lambda node: f"{_expression(node.func)}({_arguments(node.args, node.keywords)})",
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.Starred: lambda node: f"*{_expression(node.value)}",
    ast.Tuple: _tuple,
    ast.List: lambda node: f"[{_list(node.elts)}]",
    ast.Set: lambda node: f"{{{_list(node.elts)}}}",
    ast.Dict: _dict,
    ast.BinOp: lambda node: f"({_expression(node.left)} {_BINARY[type(node.op)]} {_expression(node.right)})",
    ast.UnaryOp: lambda node: f"({_UNARY[type(node.op)]}{_expression(node.operand)})",
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: lambda n: f"({_expression(n.body)} if {_expression(n.test)} else {_expression(n.orelse)})",
    ast.Lambda: _lambda,
    ast.NamedExpr: lambda node: f"({_expression(node.target)} := {_expression(node.value)})",
    ast.Await: lambda node: f"(await {_expression(node.value)})",
    ast.Yield: lambda node: f"(yield {_expression(node.value)})" if node.value else "(yield)",
    ast.YieldFrom: lambda node: f"(yield from {_expression(node.value)})",
    ast.ListComp: lambda node: f"[{_comprehension(_expression(node.elt), node.generators)}]",
    ast.SetComp: lambda node: f"{{{_comprehension(_expression(node.elt), node.generators)}}}",
    ast.GeneratorExp: lambda node: f"({_comprehension(_expression(node.elt), node.generators)})",
    ast.DictComp: lambda n: f"{{{_comprehension(f'{_expression(n.key)}: {_expression(n.value)}', n.generators)}}}",
    ast.JoinedStr: _f_string,
}
