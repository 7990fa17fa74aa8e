#!/bin/sh
# Build the wheel, install it without the network in an environment of its own (heavy dependencies are
# borrowed from this one), and use it from another folder: an editable install would hide missing files.
set -eu
python=$1
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --wheel --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --no-deps "$work"/dist/*.whl
"$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' >"$work/venv/borrowed"
for site in "$work"/venv/lib/python*/site-packages; do cp "$work/venv/borrowed" "$site/borrowed.pth"; done
rm -f "$root"/nothing
cd "$work"
"$work/venv/bin/tanqu" --help >/dev/null
"$work/venv/bin/python" -m tanqu.agent.cli.main --version
"$work/venv/bin/python" - "$work" <<'PY'
import pathlib, sys
import tanqu.agent.cli.main as cli
assert str(cli.__file__).startswith(sys.argv[1]), f"not the wheel: {cli.__file__}"
folder = pathlib.Path(cli.__file__).parent.parent.parent
for name in ("prompts/interest.zh.j2", "agent/report/report.html.j2", "models/weights/registry.toml", "agent/ranking/ranking.toml"):
    assert (folder / name).is_file(), f"missing from the wheel: {name}"
for part in ("agent", "evaluation", "models", "prompts", "vectorstore"):
    assert (folder / part / "py.typed").is_file(), part
from tanqu.evaluation.data.samples import load_sample
assert load_sample("shop", "zh").items
print("the wheel works")
PY
