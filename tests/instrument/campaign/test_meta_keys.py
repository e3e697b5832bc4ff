"""The reference names every key that the program says of a run, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "ledger-schema.md"
TREES = [ast.parse(file.read_text("utf-8")) for file in (ROOT / "instrument").rglob("*.py")]


def calls(name):
    """Calls of a method, wherever they stand."""
    for tree in TREES:
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == name
            ):
                yield tree, node


def constant(tree, name):
    """Value of a constant, of the module that uses it or of the one that it is imported from."""
    found = [
        node.value.value
        for module in (tree, *TREES)
        for node in module.body
        if isinstance(node, ast.Assign)
        and [getattr(target, "id", None) for target in node.targets] == [name]
        and isinstance(node.value, ast.Constant)
    ]
    return found[0]


def written():
    for tree, call in calls("set_meta"):
        key = call.args[0]
        yield key.value if isinstance(key, ast.Constant) else constant(tree, key.id)
    for _, call in calls("create"):
        for keys in (node.keys for node in call.args if isinstance(node, ast.Dict)):
            yield from (key.value for key in keys)


def test_the_reference_names_every_key_of_meta():
    section = PAGE.read_text("utf-8").split("## meta")[1].split("## session")[0]
    documented = re.findall(r"^- `(\w+)`: .", section, flags=re.MULTILINE)
    assert sorted(documented) == sorted(set(written()))
