#!/usr/bin/env bash
# debootstrap.sh TARGET: a small Debian or Ubuntu with bwa and samtools in the folder TARGET, for an engine that reaches no
# hub. The packages come from the mirror, through the proxy, that this machine's own apt uses. Root only.
set -euo pipefail
target=$1
. /etc/os-release
suite=$VERSION_CODENAME
components=main
[ "$ID" = ubuntu ] && components=main,universe

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 'Component: main' | head -n 1)
[ -n "$mirror" ] || { echo "apt-get knows no mirror of $suite: run apt-get update, or put one into /etc/apt/sources.list." >&2; exit 1; }
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
[ -z "${http_proxy-}" ] || export http_proxy
[ -z "${https_proxy-}" ] || export https_proxy

debootstrap --variant=minbase --components="$components" --include=bwa,samtools "$suite" "$target" "$mirror"
# A container needs no package archives, lists, manuals or translations; the copyright files stay.
rm -rf "$target"/var/cache/apt/* "$target"/var/lib/apt/lists/* "$target"/var/log/* "$target"/usr/share/{man,info,locale}/*
find "$target"/usr/share/doc -type f ! -name copyright -delete
