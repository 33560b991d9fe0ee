# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# The Debian system of the guest, from packages: base.ext4, vmlinuz, initrd, id.

# build_base: $vm_base for $distro, complete or not at all.
build_base() {
	local tree=$scratch/base packages proxy
	need_space 4000
	become_root
	mkdir -p "$tree"
	packages=$(grep -v '^#' "$testbed/base/packages" | paste -sd,)
	proxy=$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null | sed "s/^proxy='\(.*\)'$/\1/")
	long "the $distro image" "about 1 minute" "${as_root[@]}" env "TESTBED_OUT=$tree" "TMPDIR=$scratch" \
		mmdebstrap --mode=root --variant=minbase --include="$packages" ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
		--customize-hook="$testbed/base/customize" "$distro" "$tree/root" "$(mirror)"
	long "the $distro disk" "a few seconds" "${as_root[@]}" mke2fs -q -F -t ext4 -d "$tree/root" "$tree/base.ext4" 6G
	"${as_root[@]}" rm -rf --one-file-system "$tree/root"
	"${as_root[@]}" chown -R "$(id -u):$(id -g)" "$tree"
	: >"$tree/complete"
	mkdir -p "$(dirname "$vm_base")"
	rm -rf "$vm_base"
	mv "$tree" "$vm_base"
}

# mirror: where this host gets its Debian packages, or Debian's own.
mirror() {
	local uri
	# shellcheck disable=SC2016 # apt-get's format, not the shell's
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed -n 's,^\(https\?://.*/debian\)/*$,\1,p' | head -n 1)
	echo "${TESTBED_MIRROR:-${uri:-http://deb.debian.org/debian}}"
}
