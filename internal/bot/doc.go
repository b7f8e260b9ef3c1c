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
// Tenants do not trust each other. The package limits the size to which a file expands, the time to read it, the secrets and
// scripts that it can name, and what it shares with the bots of other tenants.
//
// The files decide what a new step does; the Plan in a workflow's history decides what a running step does. A Store
// keeps the secrets and scripts that such plans name as long as the steps can run.
package bot
