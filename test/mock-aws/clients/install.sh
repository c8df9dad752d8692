#!/bin/sh
# Installs the AWS CLI and boto3, pinned by hash in requirements.txt, into the folder that is given; once.
#
#   install.sh FOLDER     python3 is needed; the rest is found
#
# Pip comes from Python itself (ensurepip), from an installed pip, or from the distribution's package of pip's wheel:
# Debian and Ubuntu leave ensurepip out of python3. Nothing is installed outside the folder, and no root is needed.
set -eu

folder=${1:?usage: install.sh FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
stamp=$folder/.stamp-$(cksum <"$here/requirements.txt" | cut -d' ' -f1)
[ -e "$stamp" ] && exit 0

command -v python3 >/dev/null || {
  echo "install.sh: python3 is needed" >&2
  exit 1
}
rm -rf "$folder"
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Needs no ensurepip, so no python3-venv either.
python3 -m venv --without-pip "$folder"

pip() {
  "$folder/bin/python" "$@" install --require-hashes --no-deps --only-binary :all: --no-compile --quiet \
    --no-input --disable-pip-version-check --requirement "$here/requirements.txt"
}

if "$folder/bin/python" -m ensurepip --version >/dev/null 2>&1; then
  "$folder/bin/python" -m ensurepip >/dev/null
  pip -m pip
elif python3 -m pip --version >/dev/null 2>&1; then
  # A pip from outside is run by the venv's own interpreter.
  PYTHONPATH=$(python3 -c 'import os, pip; print(os.path.dirname(os.path.dirname(pip.__file__)))') pip -m pip
elif command -v apt-get >/dev/null; then
  (
    cd "$work"
    apt-get download -qq python3-pip-whl 2>/dev/null || { apt-get update -qq && apt-get download -qq python3-pip-whl; }
    dpkg-deb -x python3-pip-whl_*.deb unpacked
  ) >/dev/null
  PYTHONPATH=$(ls "$work"/unpacked/usr/share/python-wheels/pip-*.whl) pip -m pip
else
  echo "install.sh: neither ensurepip, nor pip, nor apt-get to get it with" >&2
  exit 1
fi
"$folder/bin/python" -c 'import awscli, aws_encryption_sdk, boto3, cryptography, moto'
touch "$stamp"
