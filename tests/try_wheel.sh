#!/bin/sh
# Build the sdist and from it the wheel, install that without the network in an environment of its own (heavy
# dependencies are borrowed from this one), and use it from another folder: an editable install would hide
# missing files.
set -eu
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --no-deps "$work"/dist/*.whl
"$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' >"$work/venv/borrowed"
for site in "$work"/venv/lib/python*/site-packages; do cp "$work/venv/borrowed" "$site/borrowed.pth"; done
root=$(pwd)
cd "$work"
unset PYTHONPATH
"$work/venv/bin/tanqu" --help >/dev/null
"$work/venv/bin/python" -m tanqu --version
"$work/venv/bin/python" - "$work" "$root" <<'PY'
import pathlib, sys, tomllib
import tanqu

work, root = map(pathlib.Path, sys.argv[1:])
folder = pathlib.Path(tanqu.__file__).parent
assert str(folder).startswith(str(work)), f"not the wheel: {folder}"
for name in tanqu.__all__:
    assert getattr(tanqu, name) is not None, name
packages = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
there = {".".join(("tanqu", *path.parent.relative_to(folder).parts)) for path in folder.rglob("__init__.py")}
assert there == set(packages), there ^ set(packages)
data = {
    path.relative_to(root)
    for part in ("agent", "evaluation", "models", "prompts", "vectorstore")
    for kind in ("*.j2", "*.toml", "*.jsonl", "py.typed")
    for path in (root / part).rglob(kind)
}
missing = sorted(str(path) for path in data if not (folder / path).is_file())
assert not missing, f"missing from the wheel: {missing}"
assert (folder / "py.typed").is_file() and not list(folder.glob("*.toml")), "the project's own files are no data"
from tanqu.evaluation.data.samples import load_sample
assert load_sample("shop", "zh").items
print("the wheel works")
PY
