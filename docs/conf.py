"""Sphinx configuration; `nox -s docs` builds what it describes."""

import re
import sys
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tables import answers, firewall, habits, intended, of_built_in, peer_tests, rules, verbs

project = "acni"
release = version = installed_version("acni")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib_trio",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "substitution"]
# The tables of the pages under concepts/.
myst_substitutions = (
    peer_tests()
    | intended()
    | of_built_in()
    | firewall()
    | rules()
    | verbs()
    | answers()
    | habits()
)
html_theme = "furo"
html_title = f"acni {release}"
html_show_copyright = False
copybutton_exclude = ".linenos, .gp, .go"

# The examples of docstrings need what tests/docs/test_docstrings.py prepares: pytest runs them.
doctest_test_doctest_blocks = ""
autodoc_member_order = "bysource"
myst_heading_anchors = 3

# No inventory is downloaded: names of other projects stay plain text, names of ours must resolve.
# A type variable is nobody's page.
nitpick_ignore_regex = [
    ("py:.*", r"(?!acni\.).*"),
    ("py:class", r"acni\..*\.(T|Read|Lent|Shared|Parsed)"),
]


def public_names():
    """Map the place that defines a public name to the place that exports it."""
    names = {}
    for module in map(
        import_module, ("acni.testing", "acni.skel", "acni.spec", "acni.blocking", "acni")
    ):
        for name in getattr(module, "__all__", ()):
            home = getattr(getattr(module, name), "__module__", None)
            names[f"{home}.{name}"] = f"{module.__name__}.{name}"
    return names


def link_public_name(app, env, node, contnode):
    """Link an annotation, which names the defining module, to the documented public name."""
    public = app.config.acni_public_names.get(node.get("reftarget"))
    if public is None:
        return None
    domain = env.domains["py"]
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, contnode)


def name_the_error(app, what, name, obj, options, lines):  # noqa: PLR0917 (as Sphinx calls it)
    """Say which PluginError a docstring means: outside of acni.skel, what a runtime raises."""
    if not name.startswith("acni.skel"):
        meant = ":raises ~acni.errors.PluginError"
        lines[:] = [re.sub(r"^:raises PluginError\b", meant, line) for line in lines]


def link_included_files(app, relative_path, parent, content):
    """Turn links between the files at the top of the checkout into links between their pages."""
    text = re.sub(r"\]\(([A-Z]+\.md)", lambda link: f"](docs/{link[1].lower()}", content[0])
    content[0] = text.replace("](LICENSE)", "](../LICENSE)")


def setup(app):
    app.add_config_value("acni_public_names", public_names(), "env")
    # After napoleon, which makes fields of "Raises:".
    app.connect("autodoc-process-docstring", name_the_error, priority=900)
    app.connect("include-read", link_included_files)
    app.connect("missing-reference", link_public_name)
