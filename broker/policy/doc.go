// SPDX-License-Identifier: MPL-2.0

// Package policy decides what a client of the broker may start on this host.
// The operator writes the policy; [Load] reads it, [Policy.Decide] answers.
//
// Threat: whoever sends a [Request] may be fully under an attacker's control,
// and the broker that executes it is root. So the answer is no unless one rule
// says yes to the whole request; what a rule does not mention it does not
// allow; and the floor (floor.go) is out of reach of every rule.
//
// Deciding is a pure function of policy, peer and request: no I/O, no clock,
// no state. Rules have no order. A [*Decision] can only be made by Decide, so
// code that forgets to ask has nothing to hand on.
//
// Duty of the caller:
//   - take the [Peer] from the kernel, never from the request;
//   - set [Request.Proof] to what it verified itself, never to what the request says;
//   - check first that the request is well-formed (lengths, UTF-8, control
//     bytes); policy looks only at what it decides on;
//   - execute [Decision.Request], the decision's own copy, and not the request
//     it passed in;
//   - give Load a directory that only root can write to: policy cannot see who
//     owns a file;
//   - open directories and programs safely: policy compares names, and names
//     can lead over symlinks.
//
// # Language, version 1
//
// A static subset of HCL: blocks, strings in double quotes, whole numbers, true,
// false and lists, each file starting with version = 1.
//
//	client "NAME"            who may ask; all of it must be written
//	  user | uid             the peer's user
//	  unit_prefix, slice     where its units live, shared with no other client
//	  alloc_root             where the directories of its units are
//	  max_units
//	  unit                   the peer's service; absent: any
//	rule "NAME"
//	  client                 whom it is for
//	  log_drivers            of fds, journal and none; absent: no unit at all
//	  sessions = true        any program may run beside a unit, in its sandbox and
//	                         as its user; absent: none
//	  labels                 names of labels without the prefix, each with patterns;
//	                         absent: any
//	  args                   first, each: patterns; or none = true; absent: any
//	  network                of host, none and paths of network namespaces; absent: host and none
//	  require_identity       true: the labels must be proven, see Request.Proof
//	  exec                   absent: no program
//	    under                directories, which are or lie in /local, /alloc, /usr
//	    paths                programs, anywhere
//	    any = true           all programs in /local, /alloc and /usr
//	  run_as                 absent: no user
//	    dynamic_user = true  a request without a user gets a uid from systemd
//	    users                a request with one of these users gets it
//	    session_users        those of users whose own manager a request may have
//	  limits
//	    tasks_max            absent: 4096
//	    memory_max           absent: 16GiB; each unit must have a limit up to it
//	    memory_unlimited     true: each unit may have any limit, or none
//	    cpu_percent          absent: any limit of CPU time, or none
//	    cpu_weight           absent: any
//	  quotas                 of all units of the rule; absent: none
//	    units, memory_total, starts_per_minute
//	identity "NAME"          what proves the labels of a client's tasks
//	  client                 has one at most
//	  audiences, keys, keys_user, unexpiring
//	never "NAME"             denies what all of its parts match: client, exec, args,
//	                         users, directives, profiles, labels, sessions,
//	                         user_manager
package policy
