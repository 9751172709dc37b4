"""The picture in docs/architecture.md, made from the imports of the code. Called by cog."""

from itertools import permutations

import grimp


def picture() -> str:
    """Return a Mermaid diagram of the app's packages and modules: an arrow is an import, transitive ones left out."""
    graph = grimp.build_graph("app")
    boxes = sorted(graph.find_children("app"))
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
    lines = [f"    {one.removeprefix('app.')} --> {other.removeprefix('app.')}" for one, other in sorted(direct)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])
