"""Roads through the conversion graph: formats are nodes, rules are edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from megbuild.declare.models import InstalledRule
from megbuild.rule import Rule

Road = tuple[InstalledRule, ...]


def shortest(
    rules: Iterable[InstalledRule],
    start: str,
    goal: str,
    via: Sequence[str] = (),
    *,
    direct: bool = False,
    embed: str = "",
) -> Road | None:
    """The road with the fewest steps from ``start`` to ``goal`` through the formats ``via``, in order.

    Equally long roads are told apart by the names of their rules, so the answer does not depend on any order; a rule
    that takes several formats takes rather the one that it names first.
    A rule that requires options of the step before it does not take the start itself, which nobody made to its wish:
    the road leads through another format and back (a delivered ONNX file through the .tm to the ONNX that a chip needs).
    ``direct`` admits that, and the rules that skip the recommended way (training code straight to a runtime format). ``embed`` is the format that a last step wraps the goal in.

    :returns: the rules in order (empty when start is the goal), or None when there is no road.
    """
    usable = (rule for rule in rules if (direct or not rule.rule.direct) and not rule.rule.refines)
    known = sorted(usable, key=lambda rule: rule.name)
    edges = [rule for rule in known if not rule.rule.embeds]
    road: Road = ()
    for stop in (*via, goal):
        leg = _leg(edges, start, stop, as_it_is=not road and not direct)
        if leg is None:
            return None
        road, start = road + leg, stop
    if embed:
        wraps = next((rule for rule in known if _wraps(rule, goal, embed)), None)
        return (*road, wraps) if wraps else None
    return road


def _wraps(rule: InstalledRule, form: str, embed: str) -> bool:
    return rule.rule.embeds and form in rule.rule.sources and rule.rule.produces == embed


def _leg(edges: Sequence[InstalledRule], start: str, goal: str, *, as_it_is: bool) -> Road | None:
    """Breadth first: the first time a format is reached, it is by the fewest steps.

    ``as_it_is``: no rule made the start, so it may be reached again, by the rules that make it.
    """
    if start == goal:
        return ()
    reached: dict[str, Road] = {} if as_it_is else {start: ()}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        road = reached.get(here, ())
        if goal in reached and len(reached[goal]) <= len(road):
            break
        for edge in edges:
            refused = as_it_is and not road and edge.rule.requires.get(here)
            if here not in edge.rule.sources or refused:
                continue
            known = reached.get(edge.rule.produces)
            if known is None:
                queue.append(edge.rule.produces)
            if known is None or (len(known) == len(road) + 1 and _rather(edge, here, start, known)):
                reached[edge.rule.produces] = (*road, edge)
    return reached.get(goal)


def _rather(edge: InstalledRule, here: str, start: str, known: Road) -> bool:
    """Whether a rule names the format ``here`` before the one that it takes at the end of an equally long road."""
    taken = known[-2].rule.produces if len(known) > 1 else start
    sources = edge.rule.sources
    return known[-1] is edge and sources.index(here) < sources.index(taken)


def refinements(rules: Iterable[InstalledRule], start: str, road: Road) -> Road:
    """The rules that refine a format which the road makes or starts with, from its end to its start."""
    passed = [start, *(edge.rule.produces for edge in road)]
    return tuple(
        rule
        for form in dict.fromkeys(reversed(passed))
        for rule in rules
        if rule.rule.refines and rule.rule.produces == form
    )


def refined(rules: Iterable[InstalledRule], start: str, road: Road, wanted: Callable[[Rule], bool]) -> Road:
    """The road with each of its refinements that is ``wanted`` put in behind the last step that makes its format.

    They are asked from the road's end to its start.
    """
    whole = list(road)
    for rule in refinements(rules, start, road):
        if wanted(rule.rule):
            makers = [place for place, edge in enumerate(whole, 1) if edge.rule.produces == rule.rule.produces]
            whole.insert(makers[-1] if makers else 0, rule)
    return tuple(whole)


def reachable(rules: Iterable[InstalledRule], start: str, *, direct: bool = False) -> tuple[str, ...]:
    """Every format that some road from ``start`` makes, sorted."""
    edges = [rule for rule in rules if (direct or not rule.rule.direct) and not rule.rule.embeds]
    found = {start}
    while more := {e.rule.produces for e in edges if found.intersection(e.rule.sources)} - found:
        found |= more
    return tuple(sorted(found - {start}))


def mermaid(rules: Iterable[InstalledRule]) -> str:
    """The picture of the installed rules, as Mermaid's flow chart."""
    lines = ["graph LR"]
    for edge in sorted(rules, key=lambda rule: rule.name):
        arrow = f"-. {edge.name} .->" if edge.rule.direct or edge.rule.embeds else f"-- {edge.name} -->"
        lines += [f"  {source} {arrow} {edge.rule.produces}" for source in edge.rule.sources]
    return "\n".join(lines)
