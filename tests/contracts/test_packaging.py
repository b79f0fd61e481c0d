"""The distribution holds the packages that are there, each typed, and every extra says what `all` installs."""

import tomllib
from importlib import metadata

import pytest


@pytest.fixture
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.fixture
def packages(repository):
    """Every top-level package folder of ours, relative to the repository."""
    found = [*repository.glob("schemas/*/__init__.py"), *repository.glob("services/*/*/__init__.py")]
    return sorted(path.parent.relative_to(repository).as_posix() for path in found)


def test_the_wheel_holds_exactly_the_packages_present(project, packages):
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == packages


def test_every_package_is_checked_for_types_and_imports(project, packages, repository):
    tool = project["tool"]
    assert sorted({package.rpartition("/")[0] for package in packages}) == sorted(tool["mypy"]["mypy_path"])
    assert sorted(package.rpartition("/")[2] for package in packages) == tool["importlinter"]["root_packages"]
    assert [package for package in packages if not (repository / package / "py.typed").is_file()] == []


def test_import_names_are_unique_and_ours(packages):
    names = [package.rpartition("/")[2] for package in packages]
    assert len(set(names)) == len(names)
    assert all(name.startswith("leadplan_") for name in names)


def test_what_the_source_distribution_includes_is_there(project, repository):
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [path for path in included if not (repository / path).exists()] == []


def test_every_extra_is_part_of_all_and_the_base_stays_small(project):
    extras = project["project"]["optional-dependencies"]
    assert extras["all"] == [f"leadplan[{','.join(name for name in extras if name not in {'all', 'bench', 'dev'})}]"]
    assert sorted(line.partition(">")[0] for line in project["project"]["dependencies"]) == ["msgspec", "nats-py"]


def test_the_constraints_pin_what_is_declared(project, repository):
    lines = (repository / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if not line.startswith("#")}
    extras = project["project"]["optional-dependencies"].values()
    declared = [line for group in [project["project"]["dependencies"], *extras] for line in group]
    names = {line.partition(">")[0].partition("[")[0] for line in declared} - {"leadplan"}
    assert names <= pinned
    assert all("==" in line and "/" not in line for line in lines if not line.startswith("#"))


def test_a_tool_names_a_package_of_ours(project, packages):
    declared = project["project"]["entry-points"]["leadplan.tools"]
    names = {package.rpartition("/")[2] for package in packages}
    assert {target.partition(".")[0] for target in declared.values()} <= names
    installed = {entry.name: entry.value for entry in metadata.entry_points(group="leadplan.tools")}
    assert installed == declared
