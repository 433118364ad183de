"""The house stays in order: imports run one way, a folder fits on a page, and a name means one thing."""

import ast
import re
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path

import pytest

import lumbar_ext

PACKAGE = Path(lumbar_ext.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MOST_FILES = 16
SHARED_NAMES = {
    "main": "where a process starts",
    "reconstruct": "the call of the package, and the command that does the same",
}


@pytest.fixture(scope="module")
def trees():
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported(tree):
    """Modules of the package that a module imports, wherever in it, for types alone too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (name for name in (inner, node.module) if name in MODULES)


def test_no_module_imports_itself_by_way_of_others_not_even_for_types(trees):
    imports = {name: set(imported(tree)) - {name} for name, tree in trees.items()}
    # a package's own file hands on what its modules define; they name its modules, not the package
    while imports:
        leaves = {name for name, needed in imports.items() if not needed & imports.keys()}
        if not leaves:
            break
        imports = {name: needed for name, needed in imports.items() if name not in leaves}
    assert not imports, f"a circle among {sorted(imports)}"


def house():
    """The place in the order of the data of every package and module on the map in CONTRIBUTING.md."""
    rooms = re.findall(r"^  ([a-z].*?)   .*$", (PACKAGE.parent / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return {name.strip("/"): place for place, line in enumerate(rooms) for name in line.split()}


def test_a_package_imports_those_above_it_on_the_map(trees):
    places = house()
    rooms = {name.split(".")[1] for name in MODULES if "." in name}
    assert rooms == set(places)
    upward = [
        f"{name} imports {other}"
        for name, tree in trees.items()
        for other in set(imported(tree)) - {lumbar_ext.__name__}
        if "." in name and places[name.split(".")[1]] < places[other.split(".")[1]]
    ]
    assert upward == []


def test_no_folder_holds_more_than_a_page():
    folders = {folder for folder in PACKAGE.rglob("*") if folder.is_dir() and folder.name != "__pycache__"}
    counts = {folder: sum(path.suffix == ".py" for path in folder.iterdir()) for folder in folders | {PACKAGE}}
    assert len(counts) > 30 and {str(f): n for f, n in counts.items() if n > MOST_FILES} == {}


def test_a_file_name_means_one_thing():
    places = defaultdict(list)
    for name, path in MODULES.items():
        if path.stem != "__main__":
            places[name.rpartition(".")[2]].append(name)
    assert {stem: found for stem, found in places.items() if len(found) > 1} == {}


def is_number(node):
    """A number, arithmetic of numbers, or several of them."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.Tuple | ast.List) and bool(node.elts) and all(map(is_number, node.elts))


def says_a_word(lines, node, following):
    """Whether a comment stands on the lines of a constant or above it in its block, or a string behind it."""
    behind = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
    block = node.lineno - 1
    while lines[block - 1].strip() and not re.match(r"from |import |def |class |@", lines[block - 1]):
        block -= 1
    return behind or any("#" in line for line in lines[block : node.end_lineno])


def test_no_number_stands_without_a_word(trees):
    """Unit and source, or why: of every constant of a module."""
    numbers, bare = 0, []
    for name, tree in trees.items():
        lines = MODULES[name].read_text(encoding="utf-8").splitlines()
        for node, following in zip_longest(tree.body, tree.body[1:]):
            if isinstance(node, ast.Assign | ast.AnnAssign) and is_number(node.value):
                numbers += 1
                if not says_a_word(lines, node, following):
                    bare.append(f"{name}: {lines[node.lineno - 1]}")
    assert numbers > 400 and bare == []


def test_a_public_name_means_one_thing(trees):
    places = defaultdict(list)
    for name, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined = [node.name]
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                defined = [target.id for target in targets if isinstance(target, ast.Name)]
            else:
                continue
            for own in defined:
                if not own.startswith("_") and own not in SHARED_NAMES:
                    places[own].append(name)
    assert len(places) > 500 and {own: found for own, found in places.items() if len(found) > 1} == {}
