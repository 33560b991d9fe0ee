# SPDX-License-Identifier: MPL-2.0
#
# What the tests of the catalogue came to: awk -f summary.awk distros=… steps=…
# kind=catalogue FILE kind=unit FILE kind=fuzz FILE kind=vm FILE. The exit status is 1
# if an attack has a test that failed or did not run. A table of all attacks, in
# Markdown, is written to the file that table= names.
BEGIN { FS = "\t" }

kind == "catalogue" {
	if (/^#/) next
	ids[++n] = $1; tests[$1] = $3; note[$1] = $4
	next
}

# Tests tell figures in lines that say: FIGURE name value unit.
match($0, /FIGURE .*/) {
	where = kind == "vm" ? substr($0, 1, index($0, ":") - 1) : kind
	split(substr($0, RSTART, RLENGTH), word, " ")
	figures[++shown] = sprintf("%-52s %14s %-8s %s", word[2], word[3], word[4], where)
}

kind == "unit" && /^--- (PASS|FAIL|SKIP): / { split($0, word, " "); pending[++waiting] = word[3]; end[waiting] = word[2] }
kind == "unit" && /^(ok  |FAIL)\t/ {
	sub(/^nomad-systemd-driver\//, "", $2)
	for (i = 1; i <= waiting; i++) verdict($2 "." pending[i], end[i])
	waiting = 0
}

kind == "fuzz" && /^--- (PASS|FAIL): / { split($0, word, " "); execs[word[3]] = word[4] + 0; crashed[word[3]] = word[2] == "FAIL:" }

# Which program a test of the VM is of, its output does not say: names are enough.
kind == "vm" && / --- (PASS|FAIL|SKIP): / {
	split($0, word, " ")
	if (word[2] == "---" && $0 !~ /: +    ---/) verdict(word[4], word[3])
}

function verdict(test, how) {
	result[test] = result[test] == "FAIL:" ? "FAIL:" : how
	times[test]++
	if (how == "PASS:") passed++
	if (how == "FAIL:") { failed++; print "FAILED " test }
	if (how == "SKIP:") { skipped++; print "SKIPPED " test }
}

function runs(step) { return index(" " steps " ", " " step " ") > 0 }

# came is what came of a test: "" if it passed, as often as it had to.
function came(test, name, needed) {
	name = test; needed = 1
	if (test ~ /^testbed\/(e2e|harness)\.|\.TestReal/) {
		if (!runs("vm")) return ""
		sub(/.*\./, "", name)
		needed = split(distros, word, " ")
	} else if (!runs("unit")) return ""
	if (result[name] == "FAIL:") return "failed"
	if (result[name] != "PASS:" || times[name] < needed) return "did not run"
	return ""
}

END {
	for (i = 1; i <= n; i++) {
		id = ids[i]; bad = ""
		m = split(tests[id], list, " ")
		for (j = 1; j <= m; j++) if ((what = came(list[j])) != "") bad = bad " " list[j] " " what ";"
		if (bad != "") { print "ATTACK " id ":" bad; lost++; came_to = "**lost**:" bad }
		else if (note[id] ~ /open(:| in)/) { open = open " " id; came_to = "open" }
		else if (m == 0) { voids = voids " " id; came_to = "void" }
		else { covered++; came_to = "held" }
		gsub(/ /, ", ", tests[id])
		if (table) print "| " id " | " came_to " | " tests[id] " | " note[id] " |" >table
	}
	for (t in execs) { total += execs[t]; targets++ }
	for (t in execs) if (crashed[t] || !execs[t]) { print "FUZZING FAILED " t; lost++ }
	print ""
	printf "%-52s %14d\n", "attacks in the catalogue", n
	printf "%-52s %14d\n", "  covered, all of their tests passed", covered
	printf "%-52s %14d\n", "  with a test that failed or did not run", lost
	printf "%-52s %14d %s\n", "  with something to be shown still", split(open, list, " "), open
	printf "%-52s %14d %s\n", "  void", split(voids, list, " "), voids
	printf "%-52s %14d\n", "tests passed", passed
	printf "%-52s %14d\n", "tests failed", failed
	printf "%-52s %14d\n", "tests skipped", skipped
	printf "%-52s %14d\n", "fuzz targets", targets
	printf "%-52s %14d\n", "fuzz executions", total
	sorted = "sort"
	for (t in execs) printf "  %-50s %14d\n", t, execs[t] | sorted
	close(sorted)
	for (i = 1; i <= shown; i++) print figures[i] | sorted
	close(sorted)
	exit lost > 0
}
