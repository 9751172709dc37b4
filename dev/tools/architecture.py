"""Generate the pictures of docs/architecture.md from the imports of the code. Called by cog."""

from itertools import permutations

import grimp


def picture(program: str, *left_out: str) -> str:
    """Return a Mermaid diagram of the packages of `app` or `pipeline`. An arrow is an import; transitive ones are
    omitted.
    """
    graph = grimp.build_graph(program)
    boxes = sorted(graph.find_children(program) - {f"{program}.{name}" for name in left_out})
    imports = {
        (one, other)
        for one, other in permutations(boxes, 2)
        if graph.find_shortest_chains(one, other, as_packages=True)
    }
    direct = {
        (one, other)
        for one, other in imports
        if not any((one, via) in imports and (via, other) in imports for via in boxes)
    }
    lines = [f"    {one.rpartition('.')[2]} --> {other.rpartition('.')[2]}" for one, other in sorted(direct)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])
