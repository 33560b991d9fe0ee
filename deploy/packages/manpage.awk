# SPDX-License-Identifier: MPL-2.0
#
# Makes of a document in Markdown what md2man needs for a manual page. A table, which
# is wider than a terminal, becomes a list: the first cell, and below it the others.
# Links lose their targets, which are elsewhere then; sections go up by one.

NR == 1 && /^# / { next }
/^```/ { code = !code }
code { print; next }
/^\|/ { row($0); next }
{
	flush()
	if (/^##+ /) sub(/^#/, "")
	print plain($0)
}
END { flush() }

function row(line) {
	if (line ~ /^\|[-: |]+\|$/ && line ~ /--/) { # what came before was the heading
		pending = ""
		return
	}
	flush()
	pending = line
}

function flush(    n, i, cells, text) {
	if (pending == "") return
	gsub(/\\\|/, "\001", pending)
	n = split(pending, cells, "|")
	for (i = 2; i < n; i++) {
		sub(/^ +/, "", cells[i])
		sub(/ +$/, "", cells[i])
	}
	# Of three cells the second is a default, or the like.
	if (n == 5 && cells[3] != "" && cells[4] != "") text = "(" cells[3] ") " cells[4]
	else for (i = 3; i < n; i++) if (cells[i] != "") text = text (text == "" ? "" : "; ") cells[i]
	text = plain("\n" cells[2] "\n: " (text == "" ? "\\&" : text) "\n")
	gsub("\001", "|", text)
	print text
	pending = ""
}

function plain(s,    start, label) {
	while (match(s, /\[[^][]*\]\([^()]*\)/)) {
		start = RSTART
		label = substr(s, RSTART + 1, index(substr(s, RSTART), "](") - 2)
		s = substr(s, 1, start - 1) label substr(s, start + RLENGTH)
	}
	return s
}
