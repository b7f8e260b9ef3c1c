// Package bot loads, checks and watches bot files.
//
// A directory has the operator's bot files, which may be of any tenant, and a directory for each tenant that writes its
// own files. Load reads all of them: a good file becomes a Bot, in which every step has a complete Plan with the
// dialect's defaults filled in and every secret resolved; a bad file is a list of Problems with line and key, and holds
// back its own bot only. A Set never changes; a Store holds the one in use, watches the directory, and replaces it as a
// whole:
//
//	     files --load--> each file good? --yes--> its new Bot  --+
//	       ^             |                                       +--> Set --swap--> Current
//	Watch  |             no: logged, Status; its last good Bot --+
//	       +--- change --+
//
// Files may be written by people who do not trust each other: what one file expands to, how long its reading takes, which
// secrets and scripts it may name, and what it shares with the bots of other tenants, is bounded.
//
// The files are authoritative for what a step does next, the Plan in a workflow's history for what a running step does. What
// such a plan names, secrets and scripts, is kept as long as the step can live.
package bot
