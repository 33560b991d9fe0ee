// SPDX-License-Identifier: MPL-2.0

package directive

// limitTable are the resource limits of setrlimit(2), soft:hard or one for both.
var limitTable = []*Directive{
	limit("LimitAS", parseSize(1024), "address space in bytes", nil),
	limit("LimitCORE", parseSize(1024), "size of core dumps in bytes", nil),
	limit("LimitCPU", limitSeconds, "time on the CPU", nil),
	limit("LimitDATA", parseSize(1024), "size of the data segment in bytes", nil),
	limit("LimitFSIZE", parseSize(1024), "size of files in bytes", nil),
	limit("LimitLOCKS", parseUint(0, infinity), "number of file locks", nil),
	limit("LimitMEMLOCK", parseSize(1024), "memory that can be locked, in bytes; class priority", always),
	limit("LimitMSGQUEUE", parseSize(1024), "bytes in POSIX message queues", nil),
	limit("LimitNICE", limitNice, "nice level that can be reached; class priority", always),
	limit("LimitNOFILE", parseUint(0, infinity), "number of open files", nil),
	limit("LimitNPROC", parseUint(0, infinity), "number of processes of the user; TasksMax= counts those of the unit", nil),
	limit("LimitRSS", parseSize(1024), "without effect on Linux", nil),
	limit("LimitRTPRIO", parseUint(0, infinity), "realtime priority that can be reached; class priority", always),
	limit("LimitRTTIME", limitMicroseconds, "realtime without a break; class priority", always),
	limit("LimitSIGPENDING", parseUint(0, infinity), "number of waiting signals", nil),
	limit("LimitSTACK", parseSize(1024), "size of the stack in bytes", nil),
}

func always(string) bool { return true }

func limit(name string, read func(string) (uint64, error), summary string, raises func(string) bool) *Directive {
	d := &Directive{
		Name: name, Buses: []Bus{{name, "t"}, {name + "Soft", "t"}}, Class: Resource, Summary: summary,
		parse: rlimit(name, read), raises: raises,
		// The default is not without limits, so more may be less than it.
		tighter: func(d *Directive, base, next []string) bool { return len(base) > 0 && lower(d, base, next) },
	}
	if raises != nil {
		d.Class, d.tighter = Priority, nil
	}
	return d
}
