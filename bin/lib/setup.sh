# Sourced by bin/quickstart and bin/test, from the top of the checkout: words for people, apt packages, the .venv.
# What it makes lies in .venv/ and .bunnies/. Nothing is installed twice: stamp files hold the hash of what was asked for.
# shellcheck shell=bash

BUNNIES_STATE=.bunnies
mkdir -p "$BUNNIES_STATE/log"

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

say() { printf '\n\033[1m[%s] %s\033[0m\n' "$(elapsed)" "$*" | plain >&2; }

note() { printf '       %s\n' "$*" >&2; }

# Without a terminal, or with NO_COLOR, no escape sequences.
plain() { if [ -t 2 ] && [ -z "${NO_COLOR-}" ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

die() { # die SENTENCE [WHAT-TO-DO]…
  { printf '\nerror: %s\n' "$1" && shift; } >&2
  local line
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# The command as a person could type it again.
typed() { local out; printf -v out '%q ' "$@"; printf '%s' "${out% }"; }

# quiet LOG COMMAND…: its output goes to .bunnies/log/LOG.log, a sign of life every ten seconds to the terminal;
# when it fails, the log's last lines and the way to the rest.
quiet() {
  local log="$BUNNIES_STATE/log/$1.log" start=$SECONDS pid code=0
  shift
  note "\$ $(typed "$@")"
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - start >= 10)) && ((SECONDS != ${beat:-0})) && (((SECONDS - start) % 10 == 0)); then
      beat=$SECONDS
      note "… $((SECONDS - start)) s: $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-90)"
    fi
  done
  wait "$pid" || code=$?
  if ((code)); then
    { printf '\nLast lines of %s:\n' "$log"; tail -n 20 "$log" | sed 's/^/  | /'; } >&2
    die "this command ended with exit code $code: $(typed "$@")" "The whole of its output: $log" "Put right what it says, then run $0 again: it goes on from here."
  fi
}

# apt_packages WHY PACKAGE…: installs those that are missing, as root on Debian or Ubuntu; elsewhere says what to install.
apt_packages() {
  local why=$1 missing=() package
  shift
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "$why is missing." "Install what your system calls ${missing[*]}, then run $0 again."
  [ "$(id -u)" = 0 ] || die "$why is missing." "Run: sudo apt-get install ${missing[*]}" "then run $0 again."
  apt_update
  DEBIAN_FRONTEND=noninteractive quiet apt-install apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# The package lists, fetched once a run, and only where root may.
apt_update() {
  if [ -z "${APT_UPDATED-}" ] && [ "$(id -u)" = 0 ]; then
    quiet apt-update apt-get update -q
    APT_UPDATED=1
  fi
}

# Sets PYTHON to a Python of 3.11 or newer.
find_python() {
  local candidate
  for candidate in "${PYTHON-}" python3 python3.13 python3.12 python3.11 python3.14; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      PYTHON=$candidate
      return
    fi
  done
  die "no Python 3.11 or newer was found (python3: $(python3 --version 2>/dev/null || echo none))." \
    "Install one (on Debian or Ubuntu: apt-get install python3 python3-venv), or name one: PYTHON=/path/to/python3 $0"
}

lock_stamp() { echo "$1 $(cat "$1" pyproject.toml | cksum) $PWD"; }

# setup_venv LOCK: .venv holds exactly what LOCK or a larger lock names, and this project, editable.
setup_venv() {
  local lock=$1 stamp=.venv/bunnies.stamp want
  want=$(lock_stamp "$lock")
  # What bin/test installed holds all that bin/quickstart needs.
  if [ -x .venv/bin/bunnies ] && [ -f "$stamp" ] && grep -qxF "$want" "$stamp"; then
    say "Python packages: .venv is up to date"
    return
  fi
  find_python
  say "Python packages: .venv, from $lock ($("$PYTHON" --version))"
  # A .venv that came from another folder has scripts that point there.
  if ! { [ -f "$stamp" ] && grep -qF " $PWD" "$stamp" && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    rm -rf .venv
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
      apt_packages "Python's venv" "python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    quiet venv "$PYTHON" -m venv .venv
  fi
  # Compiling to byte code is left to the first import: most of the packages' files are never read.
  quiet pip .venv/bin/python -m pip install --disable-pip-version-check --no-input --no-compile --no-deps --require-hashes -r "$lock"
  quiet pip-project .venv/bin/python -m pip install --disable-pip-version-check --no-input --no-compile --no-deps --no-build-isolation --editable .
  { echo "$want"; [ "$lock" = requirements.lock ] || lock_stamp requirements.lock; } >"$stamp"
}
