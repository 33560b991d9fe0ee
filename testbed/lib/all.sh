# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# All functions of the test bed, for the scripts one directory up.
. "$here/lib/common.sh"
. "$here/lib/vm.sh"
. "$here/lib/base.sh"
. "$here/lib/layers.sh"
. "$here/lib/session.sh"
